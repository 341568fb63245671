package operator

import (
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// degrading has a Service nobody reaches here: without an operator's answer, failurePolicy decides.
func degrading(after, restoreAfter time.Duration) func(*v1alpha1.Injector) {
	return func(i *v1alpha1.Injector) {
		i.Spec.Webhook.URL = ""
		i.Spec.Degrade = v1alpha1.Degrade{Mode: v1alpha1.DegradeIgnore,
			After: metav1.Duration{Duration: after}, RestoreAfter: metav1.Duration{Duration: restoreAfter}}
	}
}

// endpoints are the pods behind the operator's Service that are ready, as the endpoint slice controller would say it.
func (e *env) endpoints(pods ...string) {
	e.T.Helper()
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "pillion-1", Namespace: e.Namespace,
		Labels: map[string]string{discoveryv1.LabelServiceName: "pillion"}}, AddressType: discoveryv1.AddressTypeIPv4}
	for _, pod := range pods {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"},
			Conditions: discoveryv1.EndpointConditions{Ready: new(true)}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod}})
	}
	if err := e.Client.Create(e.Ctx(), slice); err != nil {
		must(e.T, e.Client.Update(e.Ctx(), slice))
	}
}

// failurePolicy waits until every entry of the default Injector has it.
func (e *env) failurePolicy(want admissionv1.FailurePolicyType) *admissionv1.MutatingWebhookConfiguration {
	e.T.Helper()
	var live *admissionv1.MutatingWebhookConfiguration
	e.Eventually("failurePolicy is "+string(want), func() (err error) {
		if live, err = e.Configuration(defaultConfiguration); err != nil {
			return err
		}
		for _, w := range live.Webhooks {
			if *w.FailurePolicy != want {
				return errorf("%s of %s", *w.FailurePolicy, w.Name)
			}
		}
		return nil
	})
	return live
}

func TestDegradeWhileNoOperatorIsReady(t *testing.T) {
	e := newEnv(t)
	e.endpoints("a")
	e.Injector(degrading(2*time.Second, 2*time.Second))
	r := e.Start("a")
	e.Ready(r)
	e.Condition("default", v1alpha1.ConditionDegraded, metav1.ConditionFalse, "Ready")
	e.failurePolicy(admissionv1.Fail)
	meshed := e.Meshed()
	if _, err := e.Create(e.Ctx(), pod(meshed)); err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
		t.Fatalf("a pod could be created although no operator answers: %v", err)
	}

	e.endpoints()
	live := e.failurePolicy(admissionv1.Ignore)
	e.Condition("default", v1alpha1.ConditionDegraded, metav1.ConditionTrue, "NoReadyEndpoint")
	e.Event("Degraded", "pods are created without sidecars")
	if live.Annotations["pillion.dev/degraded"] != "true" {
		t.Errorf("annotations %v say nothing of it to who comes next", live.Annotations)
	}
	made, err := e.Create(e.Ctx(), pod(meshed))
	if err != nil || hasProxy(made) {
		t.Errorf("pod %v, error %v; want one without a sidecar", names(made), err)
	}
	if value, err := r.Metric(e.Ctx(), `pillion_injector_degraded{injector="default"}`); err != nil || value != "1" {
		t.Errorf("pillion_injector_degraded is %q, want 1 (%v)", value, err)
	}
	seen := e.writes(live.ResourceVersion)
	live.Webhooks[0].TimeoutSeconds = new(int32(29)) // a repair isn't to undo it
	must(t, e.Client.Update(e.Ctx(), live, client.FieldOwner("gardener")))
	e.Event("WebhookRepaired", "timeoutSeconds of rev.namespace.injector.pillion.dev, changed by gardener")
	r.Kill()
	e.DropLease()
	e.Start("b")
	e.Condition("default", v1alpha1.ConditionWebhooksReady, metav1.ConditionTrue, "Applied")
	time.Sleep(3 * time.Second) // somebody who fights needs time to
	if versions := seen(); len(versions) != 2 {
		t.Errorf("%d writes while degraded, want gardener's and one repair: %v", len(versions), versions)
	}
	e.failurePolicy(admissionv1.Ignore)

	e.endpoints("b")
	live = e.failurePolicy(admissionv1.Fail)
	e.Event("Restored", "failurePolicy is Fail again")
	e.Condition("default", v1alpha1.ConditionDegraded, metav1.ConditionFalse, "Ready")
	if _, there := live.Annotations["pillion.dev/degraded"]; there {
		t.Error("the annotation stayed")
	}
}

func TestLastReplicaDegradesAsItEnds(t *testing.T) {
	e := newEnv(t)
	e.endpoints("a", "b")
	e.Injector(degrading(time.Hour, time.Hour))
	a := e.Start("a")
	e.Ready(a)
	e.Condition("default", v1alpha1.ConditionWebhooksReady, metav1.ConditionTrue, "Applied")
	b := e.Start("b")
	e.Ready(b)
	a.Terminate()
	if code := a.Exited(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	e.failurePolicy(admissionv1.Fail) // another one was ready all the time
	e.endpoints("b")
	b.Terminate()
	e.failurePolicy(admissionv1.Ignore)
	e.Event("Degraded", "until one has been ready for 1h0m0s")
	if code := b.Exited(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}
