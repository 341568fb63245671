package validate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

func raw(t *testing.T, inj *v1alpha1.Injector) runtime.RawExtension {
	t.Helper()
	if inj == nil {
		return runtime.RawExtension{}
	}
	text, err := json.Marshal(inj)
	if err != nil {
		t.Fatal(err)
	}
	return runtime.RawExtension{Raw: text}
}

// ask sends one review and returns the answer's response.
func ask(t *testing.T, check func(context.Context, *v1alpha1.Injector) (Verdict, error), now, old *v1alpha1.Injector) *admissionv1.AdmissionResponse {
	t.Helper()
	review := admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{UID: "u1", Object: raw(t, now), OldObject: raw(t, old)}}
	body, err := json.Marshal(&review)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	New(Options{Check: check, Log: logr.Discard()}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body)))
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Response == nil || answer.Response.UID != "u1" || answer.Kind != "AdmissionReview" {
		t.Fatalf("status %d, answer %s (%v)", w.Code, w.Body, err)
	}
	return answer.Response
}

func verdict(v Verdict, err error) func(context.Context, *v1alpha1.Injector) (Verdict, error) {
	return func(context.Context, *v1alpha1.Injector) (Verdict, error) { return v, err }
}

func TestAnswers(t *testing.T) {
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "i"}}
	inj.Spec.Templates = []v1alpha1.Template{{Name: "ok", Inline: "a: b"}, {Name: "mark", Inline: "x"}}
	changed := inj.DeepCopy()
	changed.Spec.Revision = "other"
	going := inj.DeepCopy()
	going.DeletionTimestamp = new(metav1.Now())
	faulty := verdict(Verdict{Fault: &inject.CompileError{Injector: "i", Templates: map[string][]v1alpha1.TemplateError{
		"mark": {{Line: 3, Column: 11, Message: "no such field"}}}}}, nil)
	for _, row := range []struct {
		name     string
		check    func(context.Context, *v1alpha1.Injector) (Verdict, error)
		old, now *v1alpha1.Injector
		allowed  bool
		want     string
	}{
		{"good", verdict(Verdict{}, nil), nil, inj, true, ""},
		{"a fault", faulty, nil, inj, false, `template "mark", line 3, column 11: no such field`},
		{"a fault in a change", faulty, changed, inj, false, "line 3, column 11"},
		{"a fault that was there, beside a new label", faulty, inj, inj, true, ""},
		{"a fault of what is being deleted", faulty, changed, going, true, ""},
		{"invalid", verdict(Verdict{Invalid: field.ErrorList{field.Invalid(field.NewPath("spec", "tags"), "x", "no")}}, nil), nil, inj, false, "spec.tags: Invalid value"},
		{"warned", verdict(Verdict{Warnings: []string{"ConfigMap x doesn't exist"}}, nil), nil, inj, true, "ConfigMap x doesn't exist"},
		{"not known", verdict(Verdict{}, errors.New("etcd is away")), nil, inj, true, "not checked, see its status: etcd is away"},
		{"a panic", func(context.Context, *v1alpha1.Injector) (Verdict, error) { panic("oh") }, nil, inj, true, "internal error: oh"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := ask(t, row.check, row.now, row.old)
			said := strings.Join(got.Warnings, " ")
			if got.Result != nil {
				said += got.Result.Message
			}
			if got.Allowed != row.allowed || !strings.Contains(said, row.want) || row.want == "" && said != "" {
				t.Errorf("allowed %t, said %q; want %t, %q", got.Allowed, said, row.allowed, row.want)
			}
		})
	}
	causes := ask(t, faulty, inj, nil).Result.Details.Causes
	if len(causes) != 1 || causes[0].Field != "spec.templates[1].inline" || causes[0].Message != "line 3, column 11: no such field" {
		t.Errorf("causes: %+v", causes)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprint(i, strings.Repeat("x", 1000)))
	}
	got := allow(many...).Warnings
	if len(got) != maxWarnings || got[maxWarnings-1] != "13 more" || len(got[0]) != maxWarning {
		t.Errorf("%d warnings, the last %q, the first %d bytes long", len(got), got[len(got)-1], len(got[0]))
	}
}

func TestBadRequests(t *testing.T) {
	h := New(Options{Log: logr.Discard()})
	for _, row := range []struct {
		name, method, body string
		want               int
	}{
		{"GET", http.MethodGet, "", http.StatusMethodNotAllowed},
		{"empty", http.MethodPost, "", http.StatusBadRequest},
		{"no request", http.MethodPost, "{}", http.StatusBadRequest},
		{"too long", http.MethodPost, `{"x":"` + strings.Repeat("x", maxBody) + `"}`, http.StatusBadRequest},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(row.method, Path, strings.NewReader(row.body)))
		if w.Code != row.want {
			t.Errorf("%s: status %d, want %d", row.name, w.Code, row.want)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, Path, strings.NewReader(`{"request":{"uid":"1","object":[]}}`)))
	if !strings.Contains(w.Body.String(), "reading the Injector") {
		t.Errorf("an object that is none: %s", w.Body)
	}
}

// TestOneCompileAtATime: who comes while another is checked isn't kept for ever, and not refused.
func TestOneCompileAtATime(t *testing.T) {
	h := &handler{Options: Options{Log: logr.Discard(), Check: verdict(Verdict{}, nil)}, busy: make(chan struct{}, 1)}
	h.busy <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := h.answer(ctx, &admissionv1.AdmissionRequest{Object: raw(t, &v1alpha1.Injector{})})
	if !got.Allowed || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "compiles another Injector") {
		t.Errorf("%+v", got)
	}
}
