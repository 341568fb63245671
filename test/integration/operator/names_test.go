package operator

import (
	"context"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// injectorOf is the Injector that injects pods of a namespace.
func (e *env) injectorOf(namespace string) (string, error) {
	made, err := e.Create(e.Ctx(), pod(namespace))
	if err != nil {
		return "", err
	}
	return made.Annotations["pillion.dev/injector"], nil
}

// TestCanaryByMovingATag: whoever follows the tag is moved to the other Injector, and no pod misses its sidecar
// meanwhile.
func TestCanaryByMovingATag(t *testing.T) {
	e := newEnv(t)
	e.Injector(func(i *v1alpha1.Injector) { i.Name, i.Spec.Revision, i.Spec.Tags = "v1", "v1", []string{"prod"} })
	e.Injector(func(i *v1alpha1.Injector) { i.Name, i.Spec.Revision = "v2", "v2" })
	leader, follower := e.Start("a"), e.Start("b")
	e.Ready(leader, follower)
	e.Serving("v1")
	e.Serving("v2")
	prod := e.Cluster.Namespace(t, map[string]string{"istio.io/rev": "prod"})
	stop := e.KeepCreating(prod)
	if by, err := e.injectorOf(prod); err != nil || by != "v1" {
		t.Errorf("injected by %q, want v1 (%v)", by, err)
	}
	before, err := e.Configuration("pillion-injector-prod")
	must(t, err)

	e.UpdateInjector("v2", func(i *v1alpha1.Injector) { i.Spec.Tags = []string{"prod"} })
	e.Condition("v2", v1alpha1.ConditionAccepted, metav1.ConditionFalse, "NameTaken")
	e.Event("NameTaken", `name "prod" belongs to the older Injector "v1"`)
	for _, w := range e.Condition("v2", v1alpha1.ConditionWebhooksReady, metav1.ConditionTrue, "Applied").Status.Webhooks {
		if w.Name == "pillion-injector-prod" {
			t.Error("v2 shows a webhook configuration whose name it lost")
		}
	}
	e.UpdateInjector("v1", func(i *v1alpha1.Injector) { i.Spec.Tags = nil })
	e.Eventually("v2 injects what is labelled prod", func() error {
		by, err := e.injectorOf(prod)
		if err == nil && by != "v2" {
			err = errorf("it is %q", by)
		}
		return err
	})
	e.Condition("v2", v1alpha1.ConditionAccepted, metav1.ConditionTrue, "Valid")
	after, err := e.Configuration("pillion-injector-prod")
	must(t, err)
	if after.UID != before.UID || after.Generation != before.Generation+1 {
		t.Errorf("want one update of one object: UID %s, generation %d; before %s, %d", after.UID, after.Generation, before.UID, before.Generation)
	}
	stop(0)
}

// foreignInjector is another mesh's, which matches pods of namespaces labelled istio-injection=enabled.
func foreignInjector() *admissionv1.MutatingWebhookConfiguration {
	return &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "istio-sidecar-injector"}, Webhooks: []admissionv1.MutatingWebhook{{
		Name: "namespace.sidecar-injector.istio.io", SideEffects: new(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		ClientConfig:  admissionv1.WebhookClientConfig{URL: new("https://127.0.0.1:1/")},
		FailurePolicy: new(admissionv1.Ignore), TimeoutSeconds: new(int32(1)),
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"istio-injection": "enabled"}},
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}}}}}
}

func TestForeignInjectorsAreTold(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	e.Injector(canaryName)
	e.Ready(e.Start("a"))
	e.Serving("default")
	e.Serving("canary")
	e.Condition("default", v1alpha1.ConditionConflicts, metav1.ConditionFalse, "None")

	foreign := foreignInjector()
	must(t, e.Client.Create(e.Ctx(), foreign))
	t.Cleanup(func() { _ = e.Client.Delete(context.Background(), foreign) })
	e.Condition("default", v1alpha1.ConditionConflicts, metav1.ConditionTrue, "ForeignInjector")
	e.Event("ForeignInjector", "istio-sidecar-injector/namespace.sidecar-injector.istio.io of Istio")
	e.Condition("canary", v1alpha1.ConditionConflicts, metav1.ConditionFalse, "None")

	must(t, e.Client.Delete(e.Ctx(), foreign))
	e.Condition("default", v1alpha1.ConditionConflicts, metav1.ConditionFalse, "None")
}

// TestOperatorsShareACluster: each serves its revisions, by its own Service and Lease.
func TestOperatorsShareACluster(t *testing.T) {
	e := newEnv(t)
	byService := func(i *v1alpha1.Injector) { i.Spec.Webhook.URL = "" }
	e.Injector(byService)
	e.Injector(canaryName, byService)
	stable := e.Start("stable", "--revisions=default,v*")
	e.Ready(stable) // what it doesn't serve isn't waited for
	e.Serving("default")
	e.Injector(func(i *v1alpha1.Injector) { i.Name, i.Spec.Revision = "v2", "v2" }, byService)
	e.Serving("v2")
	inj := &v1alpha1.Injector{}
	must(t, e.Client.Get(e.Ctx(), key("canary"), inj))
	if len(inj.Status.Conditions) > 0 {
		t.Errorf("the operator of other revisions wrote a status: %+v", inj.Status)
	}
	second := e.Start("canary", "--revisions=canary*", "--lease=pillion-canary", "--service=pillion-canary")
	e.Ready(second)
	e.Condition("canary", v1alpha1.ConditionWebhooksReady, metav1.ConditionTrue, "Applied")
	must(t, e.Client.Delete(e.Ctx(), inj))
	e.gone("pillion-injector-canary")
	if _, err := e.Configuration(defaultConfiguration); err != nil {
		t.Errorf("the canary operator deleted the other's webhook configuration: %v", err)
	}
	for _, r := range []*replica{stable, second} {
		if r.Log.Has("Contested") || r.Log.Has("\"repair\":true") {
			t.Errorf("replica %s fought about a webhook configuration: %s", r.Name, r.Log.Tail(20))
		}
	}
}
