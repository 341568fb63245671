package operator

import (
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

func fieldMode(i *v1alpha1.Injector) { i.Spec.Webhook.Mode = v1alpha1.WebhookField }

func TestFieldModeWithGitOps(t *testing.T) {
	e := newEnv(t)
	e.Injector(fieldMode)
	r := e.Start("a")
	missing := e.Condition("default", v1alpha1.ConditionWebhooksReady, metav1.ConditionFalse, "Missing")
	for _, c := range missing.Status.Conditions {
		if c.Type == v1alpha1.ConditionWebhooksReady && !strings.Contains(c.Message, "`pillion webhooks render`") {
			t.Errorf("the message says nothing of what to do: %s", c.Message)
		}
	}
	if _, err := e.Configuration(defaultConfiguration); err == nil {
		t.Fatal("the operator made the webhook configuration, in mode Field")
	}

	held := e.Chart()
	must(t, e.Sync(e.Ctx(), held))
	e.Ready(r)
	e.Serving("default")
	meshed := e.Meshed()
	e.Injected(meshed)
	e.untouched(held)

	must(t, e.Sync(e.Ctx(), e.Chart(func(c *admissionv1.MutatingWebhookConfiguration) { c.Webhooks[0].TimeoutSeconds = new(int32(7)) })))
	drifted := e.Condition("default", v1alpha1.ConditionWebhooksReady, metav1.ConditionFalse, "Drift")
	e.Event("Drift", "timeoutSeconds of rev.namespace.injector.pillion.dev is not as rendered")
	if s := drifted.Status.Webhooks; len(s) != 1 || s[0].InSync || s[0].Mode != v1alpha1.WebhookField {
		t.Errorf("status of the webhooks: %+v", s)
	}
	e.Injected(meshed)
	must(t, e.Sync(e.Ctx(), held))
	e.Serving("default")

	// An entry that leaves the chart has to go, although a field of it is ours.
	must(t, e.Sync(e.Ctx(), e.Chart(func(c *admissionv1.MutatingWebhookConfiguration) { c.Webhooks = c.Webhooks[1:] })))
	e.Event("Drift", "entry of rev.namespace.injector.pillion.dev is not as rendered")
	live, err := e.Configuration(defaultConfiguration)
	must(t, err)
	if len(live.Webhooks) != 3 || len(live.Webhooks[0].ClientConfig.CABundle) == 0 {
		t.Errorf("entries after one left the chart: %+v", live.Webhooks)
	}
}

// untouched syncs every second for a while, changes the CA meanwhile, and wants no write but those of a new caBundle.
func (e *env) untouched(held *unstructured.Unstructured) {
	e.T.Helper()
	live, err := e.Configuration(defaultConfiguration)
	must(e.T, err)
	seen := e.writes(live.ResourceVersion)
	for range 20 {
		must(e.T, e.Sync(e.Ctx(), held))
		time.Sleep(time.Second)
	}
	if versions := seen(); len(versions) > 0 {
		e.T.Errorf("%d writes although nothing changed: %v", len(versions), versions)
	}
	bundle := string(live.Webhooks[0].ClientConfig.CABundle)
	live, err = e.Configuration(defaultConfiguration)
	must(e.T, err)
	if string(live.Webhooks[0].ClientConfig.CABundle) != bundle {
		e.T.Error("the caBundle changed although the CA didn't")
	}

	seen = e.writes(live.ResourceVersion)
	live.Webhooks[1].ClientConfig.CABundle = nil // as a chart does that renders an empty one
	must(e.T, e.Client.Update(e.Ctx(), live, client.FieldOwner("somebody")))
	e.Event("BundleRepaired", "caBundle of rev.object.injector.pillion.dev")
	must(e.T, e.Sync(e.Ctx(), held))
	e.Serving("default")
	if versions := seen(); len(versions) != 2 {
		e.T.Errorf("%d writes, want somebody's and one of ours: %v", len(versions), versions)
	}
}

// writes counts the writes of the webhook configuration since a version of it. The call of what it returns is the end.
func (e *env) writes(since string) func() []string {
	e.T.Helper()
	w, err := e.Cluster.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Watch(e.Ctx(),
		metav1.ListOptions{ResourceVersion: since, FieldSelector: "metadata.name=" + defaultConfiguration})
	must(e.T, err)
	return func() []string {
		defer w.Stop()
		var versions []string
		for {
			select {
			case event := <-w.ResultChan():
				if c, ok := event.Object.(*admissionv1.MutatingWebhookConfiguration); ok {
					last := c.ManagedFields[len(c.ManagedFields)-1]
					versions = append(versions, c.ResourceVersion+" by "+last.Manager)
				}
			case <-time.After(time.Second):
				return versions
			}
		}
	}
}

func TestManagedToFieldAndBack(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	e.Ready(e.Start("a"))
	e.Serving("default")
	meshed := e.Meshed()
	stop := e.KeepCreating(meshed)

	e.UpdateInjector("default", fieldMode)
	e.Condition("default", v1alpha1.ConditionWebhooksReady, metav1.ConditionFalse, "Handover")
	e.Event("Handover", "only we own", "apply what `pillion webhooks render` prints")
	must(t, e.Sync(e.Ctx(), e.Chart())) // without force: what is there is what we render
	e.Serving("default")
	live, err := e.Configuration(defaultConfiguration)
	must(t, err)
	for _, m := range live.ManagedFields {
		if strings.HasPrefix(m.Manager, "pillion-injector/") && m.Operation == metav1.ManagedFieldsOperationApply {
			t.Errorf("we still own fields: %s", m.FieldsV1.GetRawString())
		}
	}
	if len(live.OwnerReferences) > 0 || len(live.Webhooks) != 4 || len(live.Webhooks[0].ClientConfig.CABundle) == 0 {
		t.Errorf("after the handover: owners %v, entries %+v", live.OwnerReferences, live.Webhooks)
	}

	e.UpdateInjector("default", func(i *v1alpha1.Injector) { i.Spec.Webhook.Mode = v1alpha1.WebhookManaged })
	e.Serving("default")
	e.Eventually("the Injector owns it again", func() error {
		live, err = e.Configuration(defaultConfiguration)
		if err == nil && len(live.OwnerReferences) != 1 {
			err = errorf("owners %v", live.OwnerReferences)
		}
		return err
	})
	before := live.DeepCopy()
	live.Webhooks[0].FailurePolicy = new(admissionv1.Ignore)
	must(t, e.Client.Update(e.Ctx(), live, client.FieldOwner("gitops")))
	e.same("after the way back", before)
	stop(0)
}

// TestDeletedInjectorLeavesTheChartsObject: what we didn't make isn't ours to delete.
func TestDeletedInjectorLeavesTheChartsObject(t *testing.T) {
	e := newEnv(t)
	inj := e.Injector(fieldMode)
	r := e.Start("a")
	must(t, e.Sync(e.Ctx(), e.Chart()))
	e.Ready(r)
	e.Serving("default")
	canary := e.Injector(canaryName)
	e.Serving("canary")
	must(t, e.Client.Delete(e.Ctx(), inj))
	must(t, e.Client.Delete(e.Ctx(), canary)) // ours goes, and by then the operator has looked
	e.gone("pillion-injector-canary")
	if _, err := e.Configuration(defaultConfiguration); err != nil {
		t.Errorf("the chart's webhook configuration went with the Injector: %v", err)
	}
}
