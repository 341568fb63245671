package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/cli/admin"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// FindPod returns the pod that is meant by POD, TYPE/NAME or both with .NAMESPACE behind: of a workload a running one with
// a sidecar, a ready one before others, one that is ending last, else the first by name.
func FindPod(ctx context.Context, c client.Reader, argument, namespace string) (*corev1.Pod, error) {
	target, err := ParseTarget(argument, namespace)
	if err != nil {
		return nil, err
	}
	object, err := Fetch(ctx, c, target)
	if err != nil {
		return nil, err
	}
	if target.Kind == "Pod" {
		var pod corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &pod); err != nil {
			return nil, fmt.Errorf("reading pod %s/%s: %w", object.GetNamespace(), object.GetName(), err)
		}
		return &pod, nil
	}
	return podOf(ctx, c, object)
}

func podOf(ctx context.Context, c client.Reader, object *unstructured.Unstructured) (*corev1.Pod, error) {
	what := fmt.Sprintf("looking for a pod of %s %s/%s", strings.ToLower(object.GetKind()), object.GetNamespace(), object.GetName())
	selector, err := selectorOf(object)
	if err != nil {
		return nil, &Failure{What: what, Why: err}
	}
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(object.GetNamespace()), client.MatchingLabelsSelector{Selector: selector}, client.Limit(maxPods)); err != nil {
		return nil, failed(what, err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return cmp.Or(rank(&a)-rank(&b), strings.Compare(a.Name, b.Name)) })
	for i := range pods.Items {
		if pods.Items[i].Status.Phase == corev1.PodRunning && hasSidecar(&pods.Items[i]) {
			return &pods.Items[i], nil
		}
	}
	return nil, &Failure{
		What: what, Why: errors.New("none is running with a sidecar"),
		Try: []string{fmt.Sprintf("kubectl get pods -n %s -l '%s'", object.GetNamespace(), selector), "pillion check-inject, to learn why a pod has no sidecar"},
	}
}

// rank is lower for a pod of which an answer is likelier, and likelier the one that was meant: in the middle of a rollout
// the new one.
func rank(pod *corev1.Pod) int {
	ready := func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue }
	switch {
	case pod.DeletionTimestamp != nil:
		return 2
	case !slices.ContainsFunc(pod.Status.Conditions, ready):
		return 1
	}
	return 0
}

// selectorOf reads spec.selector; a CronJob has none, its pods come and go.
func selectorOf(object *unstructured.Unstructured) (labels.Selector, error) {
	raw, found, err := unstructured.NestedMap(object.Object, "spec", "selector")
	if err != nil || !found {
		return nil, errors.Join(errors.New("it has no spec.selector; name a pod"), err)
	}
	var selector metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &selector); err != nil {
		return nil, err
	}
	return metav1.LabelSelectorAsSelector(&selector)
}

func hasSidecar(pod *corev1.Pod) bool {
	named := func(c corev1.Container) bool { return c.Name == istio.ContainerProxy }
	return slices.ContainsFunc(pod.Spec.Containers, named) || slices.ContainsFunc(pod.Spec.InitContainers, named)
}

// ProxyFailure says what to try when a proxy can't be asked.
func ProxyFailure(pod admin.Pod, err error) error {
	what := fmt.Sprintf("asking the proxy of %s/%s", pod.Namespace, pod.Name)
	var answer *admin.AnswerError
	switch {
	case errors.As(err, &answer):
		return &Failure{What: what, Why: err}
	case apierrors.IsForbidden(err):
		return &Failure{What: what, Why: err, Try: []string{"kubectl auth can-i create pods/portforward, and ask for it", "kubectl exec … -c istio-proxy -- pillion-sidecar request GET /config_dump > dump.json, and -f dump.json"}}
	}
	return &Failure{What: what, Why: err, Try: []string{
		fmt.Sprintf("kubectl get pod -n %s %s, to see whether container istio-proxy runs", pod.Namespace, pod.Name),
		fmt.Sprintf("kubectl logs -n %s %s -c istio-proxy", pod.Namespace, pod.Name),
	}}
}
