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
	e.OperatorNamespace()
	e.Namespace = "pillion-system"
	t.Cleanup(e.EmptyNamespace)
	e.Permissions("overlays/watchdog")
	e.endpoints("a")
	e.Injector(degrading(2*time.Second, 2*time.Second))
	kubeconfig := e.KubeconfigOf("pillion-watchdog")
	dog := e.Start("dog", "--watchdog", "--kubeconfig="+kubeconfig)
	operator := e.Start("a", "--kubeconfig="+e.KubeconfigOf("pillion"))
	e.Ready(dog, operator)
	e.Condition("default", v1alpha1.ConditionWebhooksReady, metav1.ConditionTrue, "Applied")
	operator.Kill()
	e.failurePolicy(admissionv1.Fail)
	e.endpoints()
	e.failurePolicy(admissionv1.Ignore)
	e.Condition("default", v1alpha1.ConditionDegraded, metav1.ConditionTrue, "NoReadyEndpoint")
	e.Event("Degraded", "pods are created without sidecars")
	if value, err := dog.Metric(e.Ctx(), `pillion_injector_degraded{injector="default"}`); err != nil || value != "1" {
		t.Errorf("pillion_injector_degraded is %q, want 1 (%v)", value, err)
	}

	e.DropLease() // both may act from here on
	operator = e.Start("b", "--kubeconfig="+e.KubeconfigOf("pillion"))
	e.Ready(operator)
	e.endpoints("b")
	live := e.failurePolicy(admissionv1.Fail)
	e.Condition("default", v1alpha1.ConditionDegraded, metav1.ConditionFalse, "Ready")
	seen := e.writes(live.ResourceVersion)
	time.Sleep(3 * time.Second) // somebody who fights needs time to
	if versions := seen(); len(versions) > 0 {
		t.Errorf("%d writes after it was restored: operator and watchdog disagree: %v", len(versions), versions)
	}
	e.watchdogMayNot(kubeconfig)
	for _, r := range []*replica{dog, operator} {
		if r.Log.Has("is forbidden") {
			t.Errorf("something was forbidden to %s: %s", r.Name, r.Log.Tail(20))
		}
	}
	dog.Terminate()
	if code := dog.Exited(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

// watchdogMayNot tries what would serve somebody who has its token.
func (e *env) watchdogMayNot(kubeconfig string) {
	e.T.Helper()
	c := e.ClientOf(kubeconfig)
	for name, change := range map[string]func(*admissionv1.MutatingWebhookConfiguration){
		"rules": func(w *admissionv1.MutatingWebhookConfiguration) {
			w.Webhooks[0].Rules[0].Resources = []string{"secrets"}
		},
		"URL":               func(w *admissionv1.MutatingWebhookConfiguration) { w.Webhooks[0].ClientConfig.Service.Name = "another" },
		"caBundle":          func(w *admissionv1.MutatingWebhookConfiguration) { w.Webhooks[0].ClientConfig.CABundle = otherCA(e.T) },
		"namespaceSelector": func(w *admissionv1.MutatingWebhookConfiguration) { w.Webhooks[0].NamespaceSelector = nil },
		"entries":           func(w *admissionv1.MutatingWebhookConfiguration) { w.Webhooks = w.Webhooks[1:] },
		"labels":            func(w *admissionv1.MutatingWebhookConfiguration) { w.Labels["pillion.dev/injector"] = "x" },
	} {
		live, err := e.Configuration(defaultConfiguration)
		must(e.T, err)
		before := live.DeepCopy()
		change(live)
		if err := c.Patch(e.Ctx(), live, client.MergeFrom(before), client.DryRunAll); !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
			e.T.Errorf("the watchdog may change %s: %v", name, err)
		}
	}
	if err := c.Get(e.Ctx(), client.ObjectKey{Namespace: e.Namespace, Name: "pillion-serving-ca"}, &corev1.Secret{}); !apierrors.IsForbidden(err) {
		e.T.Errorf("the watchdog may read the serving CA: %v", err)
	}
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if err := c.Delete(e.Ctx(), inj, client.DryRunAll); !apierrors.IsForbidden(err) {
		e.T.Errorf("the watchdog may delete Injectors: %v", err)
	}
}
