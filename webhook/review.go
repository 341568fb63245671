package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// review is what we need of an AdmissionReview's request.
type review struct {
	apiVersion string // admission.k8s.io/v1 or v1beta1: answered in kind
	uid        string
	kind       string // of the object: "Pod", or "apps/v1 Deployment" and the like
	isPod      bool
	create     bool
	namespace  string
	dryRun     bool
	object     *rawjson.Value // nil if there is none
	text       string         // its JSON, if it is too much to read at once
}

// shallow is how deep an AdmissionReview's own fields are, and those of its object's spec.
const shallow = 4

// decodeReview reads an AdmissionReview into a room. Its error is for a 400.
func decodeReview(room *rawjson.Room, body string) (review, error) {
	root, err := room.ParseUpTo(body, inject.MaxValues)
	large := errors.Is(err, rawjson.ErrTooMany)
	if large { // if that is the pod's fault, the injector says so
		root, err = rawjson.ParseTo(body, shallow)
	}
	if err != nil {
		return review{}, fmt.Errorf("reading the AdmissionReview: %w", err)
	}
	r := review{apiVersion: root.Get("apiVersion").Text()}
	if root.Get("kind").Text() != "AdmissionReview" || r.apiVersion != "admission.k8s.io/v1" && r.apiVersion != "admission.k8s.io/v1beta1" {
		return review{}, errors.New(`the body is no AdmissionReview; want apiVersion admission.k8s.io/v1 or v1beta1, kind AdmissionReview`)
	}
	request := root.Get("request")
	r.uid = request.Get("uid").Text()
	if request.Kind() != rawjson.Object || r.uid == "" {
		return review{}, errors.New("the AdmissionReview has no request with a uid")
	}
	kind := request.Get("kind")
	r.kind = kind.Get("kind").Text()
	r.isPod = r.kind == "Pod" && kind.Get("group").Text() == "" && request.Get("subResource").Text() == ""
	if group := kind.Get("group").Text(); group != "" {
		r.kind = group + "/" + kind.Get("version").Text() + " " + r.kind
	}
	r.create = request.Get("operation").Text() == "CREATE"
	r.namespace = request.Get("namespace").Text()
	r.dryRun = request.Get("dryRun").True()
	if r.object = request.Get("object"); large {
		r.text = r.object.Raw()
	}
	return r, nil
}

// answer is an AdmissionReview's response.
type answer struct {
	allowed  bool
	patch    []byte
	warnings []string
	audit    [][2]string
	code     int    // of a refusal
	reason   string // of a refusal: a metav1.StatusReason
	message  string
	causes   []inject.Fault
}

// encode appends the AdmissionReview that answers r.
func (a *answer) encode(b []byte, r *review) []byte {
	b = slices.Grow(b, 512+len(a.message)+base64.StdEncoding.EncodedLen(len(a.patch)))
	b = append(b, `{"kind":"AdmissionReview","apiVersion":`...)
	b = rawjson.AppendQuoted(b, r.apiVersion)
	b = append(b, `,"response":{"uid":`...)
	b = rawjson.AppendQuoted(b, r.uid)
	if a.allowed {
		b = append(b, `,"allowed":true`...)
	} else {
		b = append(b, `,"allowed":false`...)
		b = a.appendStatus(b)
	}
	if a.patch != nil {
		b = append(b, `,"patchType":"JSONPatch","patch":"`...)
		b = appendBase64(b, a.patch)
		b = append(b, '"')
	}
	b = a.appendNotes(b)
	return append(b, '}', '}')
}

func (a *answer) appendStatus(b []byte) []byte {
	b = append(b, `,"status":{"metadata":{},"status":"Failure","message":`...)
	b = rawjson.AppendQuoted(b, a.message)
	b = append(b, `,"reason":`...)
	b = rawjson.AppendQuoted(b, a.reason)
	b = fmt.Appendf(b, `,"code":%d`, a.code)
	if len(a.causes) > 0 {
		b = append(b, `,"details":{"causes":[`...)
		for i, cause := range a.causes {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"reason":"FieldValueInvalid","message":`...)
			b = rawjson.AppendQuoted(b, cause.Message)
			b = append(b, `,"field":`...)
			b = rawjson.AppendQuoted(b, cause.Field)
			b = append(b, '}')
		}
		b = append(b, `]}`...)
	}
	return append(b, '}')
}

func (a *answer) appendNotes(b []byte) []byte {
	for i, note := range a.audit {
		if i == 0 {
			b = append(b, `,"auditAnnotations":{`...)
		} else {
			b = append(b, ',')
		}
		b = rawjson.AppendQuoted(b, note[0])
		b = append(b, ':')
		b = rawjson.AppendQuoted(b, note[1])
		if i == len(a.audit)-1 {
			b = append(b, '}')
		}
	}
	for i, warning := range a.warnings {
		if i == 0 {
			b = append(b, `,"warnings":[`...)
		} else {
			b = append(b, ',')
		}
		b = rawjson.AppendQuoted(b, warning)
		if i == len(a.warnings)-1 {
			b = append(b, ']')
		}
	}
	return b
}

// refusal is an answer that doesn't let the object pass.
func refusal(code int, reason, message string, causes []inject.Fault) *answer {
	return &answer{code: code, reason: reason, message: message, causes: causes}
}

// unfit answers a review we were not to be sent; nil if it is of a pod's creation. Other operations on pods pass: a
// webhook somebody edited must not stop updates.
func (r *review) unfit() *answer {
	switch {
	case !r.isPod:
		return refusal(http.StatusBadRequest, "BadRequest",
			fmt.Sprintf("the injector takes pods only, this is %q; the webhook's rules must name resource pods and nothing else", r.kind), nil)
	case !r.create:
		return &answer{allowed: true, warnings: []string{"the injector changes pods on creation only; its webhook's rules were edited"}}
	case r.object == nil:
		return refusal(http.StatusBadRequest, "BadRequest", "the AdmissionReview has no object", nil)
	}
	return nil
}
