package cli

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// Of a Deployment in the middle of a rollout the pod that stays is meant, not the one that is first by name.
func TestPodOfAWorkload(t *testing.T) {
	pay := map[string]string{"app": "pay"}
	deployment := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "pay"},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: pay}},
	}
	pod := func(name string, change func(*corev1.Pod)) client.Object {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: pay}}
		p.Spec.Containers = []corev1.Container{{Name: istio.ContainerProxy}}
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		change(p)
		return p
	}
	ending := pod("a-ending", func(p *corev1.Pod) {
		p.DeletionTimestamp, p.Finalizers = &metav1.Time{Time: time.Now()}, []string{"test/stays"}
	})
	unready := pod("b-unready", func(p *corev1.Pod) { p.Status.Conditions = nil })
	bare := pod("c-bare", func(p *corev1.Pod) { p.Spec.Containers = nil })
	pending := pod("d-pending", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending })
	for want, there := range map[string][]client.Object{
		"e-ready":   {ending, unready, bare, pending, pod("f-ready", func(*corev1.Pod) {}), pod("e-ready", func(*corev1.Pod) {})},
		"b-unready": {ending, unready, bare, pending},
		"a-ending":  {ending, bare, pending},
	} {
		c := fake.NewClientBuilder().WithObjects(append(there, deployment)...).Build()
		got, err := FindPod(t.Context(), c, "deploy/pay", "shop")
		if err != nil || got.Name != want {
			t.Errorf("got %v, %v; want %s", got, err, want)
		}
	}
}
