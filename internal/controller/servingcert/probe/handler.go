package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const maxBody = 64 << 10 // a probe's review has about 1 KiB

// Handler answers for POST Path. servedCA is the fingerprint of the CA that signed the leaf of the connection the
// request came on: a replica serves different ones, and may change them between handshake and request.
func Handler(servedCA func(context.Context) string, replica string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// An API server keeps connections, and the next probe is to see what a new handshake gives.
		w.Header().Set("Connection", "close")
		if r.Method != http.MethodPost {
			http.Error(w, "want POST", http.StatusMethodNotAllowed)
			return
		}
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&review); err != nil || review.Request == nil {
			http.Error(w, "want an AdmissionReview with a request, of a probe's size", http.StatusBadRequest)
			return
		}
		ca := servedCA(r.Context())
		if ca == "" {
			http.Error(w, "this replica doesn't know with which certificate it answers", http.StatusInternalServerError)
			return
		}
		review.Response = answer(review.Request, replica, ca)
		review.Response.UID, review.Request = review.Request.UID, nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(&review) // who doesn't get it counts as not answered
	})
}

func answer(r *admissionv1.AdmissionRequest, replica, ca string) *admissionv1.AdmissionResponse {
	nonce, err := nonceOf(r)
	if err == nil {
		var patch []byte
		if patch, err = evidencePatch(nonce, replica, ca); err == nil {
			return &admissionv1.AdmissionResponse{Allowed: true, Patch: patch, PatchType: new(admissionv1.PatchTypeJSONPatch)}
		}
	}
	return &admissionv1.AdmissionResponse{Result: new(refusal(err.Error()))}
}

func refusal(message string) metav1.Status {
	return metav1.Status{Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Message: message}
}

// nonceOf takes it from the label. What isn't a probe is refused, so that nothing with the label is ever stored.
func nonceOf(r *admissionv1.AdmissionRequest) (string, error) {
	if r.DryRun == nil || !*r.DryRun {
		return "", fmt.Errorf("label %s is for the operator's probes, which are never stored", Label)
	}
	var object metav1.PartialObjectMetadata
	if err := json.Unmarshal(r.Object.Raw, &object); err != nil {
		return "", errors.New("the object can't be read")
	}
	nonce := object.Labels[Label]
	if !nonceForm.MatchString(nonce) {
		return "", fmt.Errorf("label %s: want 32 hexadecimal digits", Label)
	}
	return nonce, nil
}

// evidencePatch replaces all annotations: a probe has none of its own.
func evidencePatch(nonce, replica, ca string) ([]byte, error) {
	type operation struct {
		Op    string            `json:"op"`
		Path  string            `json:"path"`
		Value map[string]string `json:"value"`
	}
	return json.Marshal([]operation{{Op: "add", Path: "/metadata/annotations",
		Value: map[string]string{annotationNonce: nonce, annotationReplica: replica, annotationCA: ca}}})
}
