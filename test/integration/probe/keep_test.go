package probe

import (
	"bytes"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
)

func (w *world) live() *admissionv1.MutatingWebhookConfiguration {
	w.t.Helper()
	c := &admissionv1.MutatingWebhookConfiguration{}
	must(w.t, w.client.Get(w.t.Context(), client.ObjectKey{Name: "pillion-probe"}, c))
	return c
}

// TestKeepWritesOnlyWhatDiffers: each write costs every API server a new client.
func TestKeepWritesOnlyWhatDiffers(t *testing.T) {
	w := newWorld(t)
	byService := probe.Target{Service: "pillion", Namespace: w.namespace, Port: 443}
	for _, target := range []probe.Target{byService, w.target("localhost")} {
		want := probe.Configuration(target, bundle(w.candidate))
		must(t, w.keeper.Keep(t.Context(), want))
		first := w.live()
		must(t, w.keeper.Keep(t.Context(), want))
		if second := w.live(); second.ResourceVersion != first.ResourceVersion {
			t.Errorf("%+v: written again without need", target)
		}
	}
}

func TestKeepRepairs(t *testing.T) {
	w := newWorld(t)
	for name, harm := range map[string]func(*admissionv1.MutatingWebhookConfiguration){
		"another bundle": func(c *admissionv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].ClientConfig.CABundle = bundle(w.other)
		},
		"no bundle": func(c *admissionv1.MutatingWebhookConfiguration) { c.Webhooks[0].ClientConfig.CABundle = nil },
		"more entries": func(c *admissionv1.MutatingWebhookConfiguration) {
			more := c.Webhooks[0].DeepCopy()
			more.Name = "another.example.com"
			c.Webhooks = append(c.Webhooks, *more)
		},
		"no entries": func(c *admissionv1.MutatingWebhookConfiguration) { c.Webhooks = nil },
		"conditions": func(c *admissionv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].MatchConditions = []admissionv1.MatchCondition{{Name: "never", Expression: "false"}}
		},
		"selectors": func(c *admissionv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].NamespaceSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "a", Operator: metav1.LabelSelectorOpExists}}
		},
		"labels": func(c *admissionv1.MutatingWebhookConfiguration) { c.Labels = nil },
	} {
		w.keep("localhost", w.candidate)
		c := w.live()
		harm(c)
		must(t, w.client.Update(t.Context(), c, client.FieldOwner("somebody")))
		w.keep("localhost", w.candidate)
		got := w.live()
		if len(got.Webhooks) != 1 || !bytes.Equal(got.Webhooks[0].ClientConfig.CABundle, bundle(w.candidate)) || len(got.Webhooks[0].MatchConditions) != 0 ||
			len(got.Webhooks[0].NamespaceSelector.MatchExpressions) != 0 || got.Labels["app.kubernetes.io/component"] != "serving-probe" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	w.want(probe.ResultOK, w.candidate.fingerprint())
	if err := w.keeper.Keep(t.Context(), probe.Configuration(w.target("localhost"), nil)); err == nil {
		t.Error("written without a bundle")
	}
}

func TestRemove(t *testing.T) {
	w := newWorld(t)
	must(t, w.keeper.Remove(t.Context(), "pillion-probe"))
	w.keep("localhost", w.candidate)
	must(t, w.keeper.Remove(t.Context(), "pillion-probe"))
	if err := w.client.Get(t.Context(), client.ObjectKey{Name: "pillion-probe"}, &admissionv1.MutatingWebhookConfiguration{}); !apierrors.IsNotFound(err) {
		t.Errorf("it is still there: %v", err)
	}
	foreign := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pillion-probe"}}
	must(t, w.client.Create(t.Context(), foreign))
	must(t, w.keeper.Remove(t.Context(), "pillion-probe"))
	w.live()
}
