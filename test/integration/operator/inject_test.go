package operator

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

func TestPodsAreInjectedThroughTheAPIServer(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	r := e.Start("a")
	e.Ready(r)
	e.Serving("default")
	meshed, plain := e.Meshed(), e.Cluster.Namespace(t)

	e.Injected(meshed)
	for _, c := range []struct {
		name      string
		namespace string
		change    func(*corev1.Pod)
		want      bool
	}{
		{"a pod that opts out", meshed, label("false"), false},
		{"a pod that asks in an unlabelled namespace", plain, label("true"), true},
		{"a pod that doesn't ask there", plain, func(*corev1.Pod) {}, false},
		{"a pod on the host's network", meshed, func(p *corev1.Pod) { p.Spec.HostNetwork = true }, false},
		{"a pod in the operator's namespace", e.Namespace, label("true"), false},
	} {
		p := pod(c.namespace)
		c.change(p)
		made, err := e.Create(e.Ctx(), p)
		must(t, err)
		if hasProxy(made) != c.want {
			t.Errorf("%s: containers %v, want a sidecar: %t", c.name, names(made), c.want)
		}
	}
	inj := e.Condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionTrue, "Compiled")
	e.Condition("default", v1alpha1.ConditionAccepted, metav1.ConditionTrue, "Valid")
	if len(inj.Status.Hash) != 12 || len(inj.Status.Webhooks) != 1 || len(inj.Status.Webhooks[0].Entries) != 4 || !inj.Status.Webhooks[0].InSync {
		t.Errorf("status: %+v", inj.Status)
	}
}

func label(value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels = map[string]string{"sidecar.istio.io/inject": value} }
}
