package workload

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// deploy makes a Deployment and returns when its pods are there and ready.
func (e *env) deploy(name string, replicas int32) {
	e.T.Helper()
	labels := map[string]string{"app": name}
	must(e.T, e.Client.Create(e.Ctx(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: "app:1"}}}}}}))
	e.settled(name, replicas)
}

// settled waits until that many pods of a Deployment are there and says of them that they are ready.
func (e *env) settled(name string, replicas int32) {
	e.T.Helper()
	e.Eventually(fmt.Sprintf("%s has %d pods", name, replicas), func() error {
		pods := e.podsOf(name)
		if len(pods) != int(replicas) {
			return fmt.Errorf("it has %d", len(pods))
		}
		for i := range pods {
			if err := e.makeReady(&pods[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// makeReady does a kubelet's part.
func (e *env) makeReady(p *corev1.Pod) error {
	if p.Status.Phase == corev1.PodRunning {
		return nil
	}
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return e.Client.Status().Update(e.Ctx(), p)
}

func (e *env) pods() []corev1.Pod {
	e.T.Helper()
	var list corev1.PodList
	must(e.T, e.Client.List(e.Ctx(), &list, client.InNamespace(e.namespace)))
	return list.Items
}

func (e *env) podsOf(deployment string) []corev1.Pod {
	return slices.DeleteFunc(e.pods(), func(p corev1.Pod) bool { return p.Labels["app"] != deployment || p.DeletionTimestamp != nil })
}

func (e *env) uids() []types.UID {
	var all []types.UID
	for _, p := range e.pods() {
		all = append(all, p.UID)
	}
	slices.Sort(all)
	return all
}

func hasSidecar(p *corev1.Pod) bool {
	_, has := p.Annotations[istio.AnnotationStatus]
	return has
}

// withSidecar counts the pods that have one.
func (e *env) withSidecar() int {
	n := 0
	for _, p := range e.pods() {
		if hasSidecar(&p) {
			n++
		}
	}
	return n
}

// budget makes a PodDisruptionBudget and returns when it allows so many disruptions.
func (e *env) budget(deployment string, available int, allowed int32) *policyv1.PodDisruptionBudget {
	e.T.Helper()
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: deployment}, Spec: policyv1.PodDisruptionBudgetSpec{
		MinAvailable: new(intstr.FromInt(available)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": deployment}}}}
	must(e.T, e.Client.Create(e.Ctx(), b))
	e.allows(b, allowed)
	return b
}

func (e *env) allows(b *policyv1.PodDisruptionBudget, allowed int32) {
	e.T.Helper()
	e.Eventually(fmt.Sprintf("the PodDisruptionBudget allows %d disruptions", allowed), func() error {
		if err := e.Client.Get(e.Ctx(), client.ObjectKeyFromObject(b), b); err != nil {
			return err
		}
		if b.Status.ObservedGeneration != b.Generation || b.Status.DisruptionsAllowed != allowed || b.Status.ExpectedPods == 0 {
			return fmt.Errorf("it is at %+v", b.Status)
		}
		return nil
	})
}
