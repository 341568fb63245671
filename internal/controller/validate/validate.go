// Package validate answers the API server's question whether an Injector may be written: what doesn't compile is refused
// while its author looks, instead of told in a status later. The status stays the authority, for this may not be asked.
//
// In comes an AdmissionReview with an Injector, out goes one that allows it or says what is wrong where. Read this file
// first, then answer.go.
package validate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// Path is where the API server asks.
const Path = "/validate/injector"

const (
	maxBody  = 8 << 20         // an object has 1.5 MiB at most; a review has the old one too
	patience = 2 * time.Second // for another compile to end, of the 5 s the API server waits
)

// Verdict is what is wrong with an Injector.
type Verdict struct {
	Invalid  field.ErrorList
	Fault    *inject.CompileError
	Warnings []string // what may be right by the time it is used
}

// Options are what a handler needs.
type Options struct {
	Check func(ctx context.Context, inj *v1alpha1.Injector) (Verdict, error) // inj is its to change
	Log   logr.Logger
}

type handler struct {
	Options
	busy chan struct{} // a compile may take the CPU for seconds: one at a time
}

// New returns the handler for POST Path.
func New(o Options) http.Handler { return &handler{Options: o, busy: make(chan struct{}, 1)} }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "want POST", http.StatusMethodNotAllowed)
		return
	}
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, "want an AdmissionReview with a request", http.StatusBadRequest)
		return
	}
	review.Response = h.answer(r.Context(), review.Request)
	review.Response.UID, review.Request = review.Request.UID, nil
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(&review); err != nil {
		h.Log.V(1).Info("answer not sent", "error", err.Error())
	}
}

func (h *handler) answer(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	inj, unchanged, err := decode(r)
	if err != nil {
		return refuse("", err.Error(), nil)
	}
	if unchanged || inj.DeletionTimestamp != nil {
		return allow()
	}
	verdict, err := h.check(ctx, inj.DeepCopy())
	switch {
	case err != nil: // the status will say it
		h.Log.Info("Injector not checked", "injector", inj.Name, "error", err.Error())
		return allow("not checked, see its status: " + err.Error())
	case len(verdict.Invalid) > 0:
		return refuse(inj.Name, verdict.Invalid.ToAggregate().Error(), invalid(verdict.Invalid))
	case verdict.Fault != nil:
		return refuse(inj.Name, verdict.Fault.Error(), faulty(inj, verdict.Fault))
	}
	return allow(verdict.Warnings...)
}

// decode says too whether the spec is what it was: labels can be changed, and finalizers removed, whatever the spec.
func decode(r *admissionv1.AdmissionRequest) (inj *v1alpha1.Injector, unchanged bool, err error) {
	inj = &v1alpha1.Injector{}
	if err := json.Unmarshal(r.Object.Raw, inj); err != nil {
		return nil, false, fmt.Errorf("reading the Injector: %w", err)
	}
	if len(r.OldObject.Raw) == 0 {
		return inj, false, nil
	}
	old := &v1alpha1.Injector{}
	if err := json.Unmarshal(r.OldObject.Raw, old); err != nil {
		return nil, false, fmt.Errorf("reading the Injector as it was: %w", err)
	}
	return inj, equality.Semantic.DeepEqual(inj.Spec, old.Spec), nil
}

// check waits its turn. A panic is a fault of ours, not of the Injector.
func (h *handler) check(ctx context.Context, inj *v1alpha1.Injector) (v Verdict, err error) {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case h.busy <- struct{}{}:
	case <-wait.Done():
		return Verdict{}, fmt.Errorf("the operator compiles another Injector since %s", patience)
	}
	defer func() {
		<-h.busy
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	return h.Check(ctx, inj)
}
