package validate

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// What the API server passes on of warnings and causes: some of each.
const (
	maxWarnings = 8
	maxWarning  = 250
	maxCauses   = 32
)

func allow(warnings ...string) *admissionv1.AdmissionResponse {
	if len(warnings) > maxWarnings {
		warnings = append(warnings[:maxWarnings-1:maxWarnings-1], fmt.Sprintf("%d more", len(warnings)-maxWarnings+1))
	}
	response := &admissionv1.AdmissionResponse{Allowed: true}
	for _, w := range warnings {
		if len(w) > maxWarning {
			w = w[:maxWarning-3] + "..."
		}
		response.Warnings = append(response.Warnings, w)
	}
	return response
}

func refuse(name, message string, causes []metav1.StatusCause) *admissionv1.AdmissionResponse {
	status := &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity, Message: message}
	if len(causes) > 0 {
		status.Details = &metav1.StatusDetails{Group: v1alpha1.GroupVersion.Group, Kind: "Injector", Name: name, Causes: causes[:min(len(causes), maxCauses)]}
	}
	return &admissionv1.AdmissionResponse{Result: status}
}

func invalid(errs field.ErrorList) []metav1.StatusCause {
	var causes []metav1.StatusCause
	for _, e := range errs {
		causes = append(causes, metav1.StatusCause{Type: metav1.CauseType(e.Type), Message: e.ErrorBody(), Field: e.Field})
	}
	return causes
}

// faulty has one cause a fault, at the template it is in.
func faulty(inj *v1alpha1.Injector, fault *inject.CompileError) []metav1.StatusCause {
	var causes []metav1.StatusCause
	for _, name := range slices.Sorted(maps.Keys(fault.Templates)) {
		at := "spec"
		if i := slices.IndexFunc(inj.Spec.Templates, func(t v1alpha1.Template) bool { return t.Name == name }); i >= 0 {
			at = field.NewPath("spec", "templates").Index(i).Child("inline").String()
		}
		for _, e := range fault.Templates[name] {
			message := e.Message
			if e.Line > 0 {
				message = fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
			}
			causes = append(causes, metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Message: message, Field: at})
		}
	}
	return causes
}
