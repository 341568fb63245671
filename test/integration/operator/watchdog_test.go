package operator

import (
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// TestWatchdogDegradesWhenNobodyIsLeft runs it as the ServiceAccount of config/overlays/watchdog, with nothing but its
// RBAC and under its admission policy.
func TestWatchdogDegradesWhenNobodyIsLeft(t *testing.T) {
	e := newEnv(t)
	e.operatorNamespace(t)
	e.namespace = "pillion-system"
	t.Cleanup(e.emptyNamespace)
	e.permissions("overlays/watchdog")
	e.endpoints("a")
	e.injector(degrading(2*time.Second, 2*time.Second))
	kubeconfig := e.serviceAccountKubeconfig("pillion-watchdog")
	dog := e.start("dog", "--watchdog", "--kubeconfig="+kubeconfig)
	operator := e.start("a", "--kubeconfig="+e.serviceAccountKubeconfig("pillion"))
	e.ready(dog, operator)
	e.condition("default", v1alpha1.ConditionWebhooksReady, metav1.ConditionTrue, "Applied")
	operator.kill()
	e.failurePolicy(admissionv1.Fail)
	e.endpoints()
	e.failurePolicy(admissionv1.Ignore)
	e.condition("default", v1alpha1.ConditionDegraded, metav1.ConditionTrue, "NoReadyEndpoint")
	e.event("Degraded", "pods are created without sidecars")
	if value, err := dog.metric(e.ctx(), `pillion_injector_degraded{injector="default"}`); err != nil || value != "1" {
		t.Errorf("pillion_injector_degraded is %q, want 1 (%v)", value, err)
	}

	e.dropLease() // both may act from here on
	operator = e.start("b", "--kubeconfig="+e.serviceAccountKubeconfig("pillion"))
	e.ready(operator)
	e.endpoints("b")
	live := e.failurePolicy(admissionv1.Fail)
	e.condition("default", v1alpha1.ConditionDegraded, metav1.ConditionFalse, "Ready")
	seen := e.writes(live.ResourceVersion)
	time.Sleep(3 * time.Second) // somebody who fights needs time to
	if versions := seen(); len(versions) > 0 {
		t.Errorf("%d writes after it was restored: operator and watchdog disagree: %v", len(versions), versions)
	}
	e.watchdogMayNot(kubeconfig)
	for _, r := range []*replica{dog, operator} {
		if r.log.has("is forbidden") {
			t.Errorf("something was forbidden to %s: %s", r.name, r.log.tail(20))
		}
	}
	dog.terminate()
	if code := dog.exited(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

// watchdogMayNot tries what would serve somebody who has its token.
func (e *env) watchdogMayNot(kubeconfig string) {
	e.t.Helper()
	c, err := client.New(config(e.t, kubeconfig), client.Options{Scheme: e.client.Scheme()})
	must(e.t, err)
	for name, change := range map[string]func(*admissionv1.MutatingWebhookConfiguration){
		"rules": func(w *admissionv1.MutatingWebhookConfiguration) {
			w.Webhooks[0].Rules[0].Resources = []string{"secrets"}
		},
		"URL":               func(w *admissionv1.MutatingWebhookConfiguration) { w.Webhooks[0].ClientConfig.Service.Name = "another" },
		"caBundle":          func(w *admissionv1.MutatingWebhookConfiguration) { w.Webhooks[0].ClientConfig.CABundle = otherCA(e.t) },
		"namespaceSelector": func(w *admissionv1.MutatingWebhookConfiguration) { w.Webhooks[0].NamespaceSelector = nil },
		"entries":           func(w *admissionv1.MutatingWebhookConfiguration) { w.Webhooks = w.Webhooks[1:] },
		"labels":            func(w *admissionv1.MutatingWebhookConfiguration) { w.Labels["pillion.dev/injector"] = "x" },
	} {
		live, err := e.configuration(defaultConfiguration)
		must(e.t, err)
		before := live.DeepCopy()
		change(live)
		if err := c.Patch(e.ctx(), live, client.MergeFrom(before), client.DryRunAll); !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
			e.t.Errorf("the watchdog may change %s: %v", name, err)
		}
	}
	if err := c.Get(e.ctx(), client.ObjectKey{Namespace: e.namespace, Name: "pillion-serving-ca"}, &corev1.Secret{}); !apierrors.IsForbidden(err) {
		e.t.Errorf("the watchdog may read the serving CA: %v", err)
	}
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if err := c.Delete(e.ctx(), inj, client.DryRunAll); !apierrors.IsForbidden(err) {
		e.t.Errorf("the watchdog may delete Injectors: %v", err)
	}
}
