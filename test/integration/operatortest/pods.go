package operatortest

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Meshed makes a namespace whose pods are injected.
func (e *Env) Meshed() string {
	return e.Cluster.Namespace(e.T, map[string]string{"istio-injection": "enabled"})
}

// Pod is one of an application.
func Pod(namespace string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "app-", Namespace: namespace},
		Spec: corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "app", Image: "app:1"}}}}
}

// Create makes a pod, for show only, and returns what admission made of it.
func (e *Env) Create(ctx context.Context, p *corev1.Pod) (*corev1.Pod, error) {
	made := p.DeepCopy()
	return made, e.Client.Create(ctx, made, client.DryRunAll)
}

// Injected waits until pods of a namespace get a sidecar.
func (e *Env) Injected(namespace string) *corev1.Pod {
	e.T.Helper()
	var made *corev1.Pod
	e.Eventually("a pod is injected", func() (err error) {
		if made, err = e.Create(e.Ctx(), Pod(namespace)); err == nil && !HasProxy(made) {
			err = fmt.Errorf("it has no sidecar: %v", Names(made))
		}
		return err
	})
	return made
}

// HasProxy says whether a pod has a sidecar.
func HasProxy(p *corev1.Pod) bool { return slices.Contains(Names(p), "istio-proxy") }

// Names are those of all containers.
func Names(p *corev1.Pod) []string {
	var all []string
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		all = append(all, c.Name)
	}
	return all
}
