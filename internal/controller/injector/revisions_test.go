package injector

import (
	"context"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

func TestRevisions(t *testing.T) {
	for _, row := range []struct {
		globs, revision string
		want            bool
	}{
		{"*", "anything", true},
		{"default", "", true}, // unset is "default"
		{"default", "canary", false},
		{"default, canary-*", "canary-7", true},
		{"canary-?", "canary-77", false},
		{"!canary", "canary", false},
		{"!canary", "", true},
		{"!canary-*, !test", "anything", true},
		{"!canary-7, canary-*", "canary-7", false},
		{"!canary-7, canary-*", "canary-8", true},
		{"!canary-7, canary-*", "default", false},
	} {
		r, err := ParseRevisions(row.globs)
		if err != nil || r.Serve(row.revision) != row.want {
			t.Errorf("--revisions %q serves %q: %t (%v), want %t", row.globs, row.revision, !row.want, err, row.want)
		}
	}
	for _, bad := range []string{"", "a,,b", "a[", " ", "!", "![", "a,!"} {
		if _, err := ParseRevisions(bad); err == nil || !strings.Contains(err.Error(), "such as") {
			t.Errorf("--revisions %q: error %v, want one that says how", bad, err)
		}
	}
}

// TestAnotherOperatorsInjectorIsLeftAlone: neither read nor written, but its names are taken.
func TestAnotherOperatorsInjectorIsLeftAlone(t *testing.T) {
	ctx := context.Background()
	other := made("other", "other", 1)
	other.Spec.Tags = []string{"prod"}
	mine := made("mine", "mine", 2)
	mine.Spec.Tags = []string{"prod"}
	w := newWorld(t, other, mine)
	w.options.Revisions = Revisions{"mine"}
	w.restart()
	orphan := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pillion-injector-other",
		Labels:          map[string]string{"pillion.dev/injector": "other", "istio.io/rev": "other"},
		OwnerReferences: []metav1.OwnerReference{ownerReference(other)}}}
	w.must(w.api.Create(ctx, orphan))
	w.must(w.reconcile("other"))
	w.must(w.reconcile("mine"))
	if s := w.get("other").Status; len(s.Conditions) > 0 || s.Hash != "" {
		t.Errorf("wrote into the status of another operator's Injector: %+v", s)
	}
	if w.c.Compiler.State().Injectors["other"] != nil {
		t.Error("compiled another operator's Injector")
	}
	if _, err := w.configuration("pillion-injector-prod"); err != nil {
		t.Errorf("an Injector that never compiled stands in the way of a name: %v", err)
	}

	before := w.get("other")
	now := before.DeepCopy()
	now.Status.Hash = "5f0c9a1e2b7d" // its operator compiled it
	w.must(w.api.Status().Update(ctx, now))
	if !w.c.Revisions.matters().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: now}) {
		t.Error("nobody looks when another operator's Injector has its names")
	}
	w.must(w.reconcile("mine"))
	if c := w.condition("mine", v1alpha1.ConditionAccepted); c.Reason != reasonNameTaken || !strings.Contains(c.Message, `name "prod" belongs to the older Injector "other"`) {
		t.Errorf("Accepted: %+v", c)
	}

	w.must(w.api.Delete(ctx, now))
	w.must(w.reconcile("other"))
	if _, err := w.configuration("pillion-injector-other"); apierrors.IsNotFound(err) {
		t.Error("deleted a webhook configuration of another operator's Injector")
	}
}
