package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/test/cluster/progress"
	"github.com/pillion-mesh/pillion/test/install"
)

// testEverythingDown: failurePolicy is Fail, yet nothing the cluster needs to come back waits for the operator.
func testEverythingDown(t *testing.T, e *env) {
	mesh := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	e.apply(t, mesh, deployment("web"))
	e.apply(t, "kube-system", deployment("needed"))
	t.Cleanup(func() { e.must(t, "delete", "deployment", "-n", "kube-system", "needed", "--ignore-not-found") })
	e.available(t, mesh, "web")
	e.available(t, "kube-system", "needed")

	t.Run("no operator", func(t *testing.T) { checkWithoutOperator(t, e, mesh) })
	t.Run("power cut with no pod left", func(t *testing.T) { checkPowerCut(t, e, mesh) })
}

// deployment asks for a sidecar itself, so that only the namespace can keep it from getting one.
func deployment(name string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s, sidecar.istio.io/inject: "true"}}
    spec:
      terminationGracePeriodSeconds: 5
      containers: [{name: app, image: "localhost/app:1", args: [serve], securityContext: {runAsUser: 1000}}]
`, name)
}

func (e *env) available(t *testing.T, namespace, name string) {
	t.Helper()
	e.must(t, "rollout", "status", "-n", namespace, "deployment/"+name, "--timeout=180s")
}

// checkWithoutOperator: pods that should have a sidecar are refused with a reason, all others are created.
func checkWithoutOperator(t *testing.T, e *env, mesh string) {
	e.must(t, "scale", "-n", install.Namespace, "deployment/pillion", "--replicas=0")
	e.must(t, "delete", "pods", "-n", install.Namespace, "--all", "--grace-period=0", "--force")
	t.Cleanup(func() { // the operator's own pods are created while no operator runs
		e.must(t, "scale", "-n", install.Namespace, "deployment/pillion", "--replicas=2")
		e.rolledOut(t)
	})
	eventually(t, time.Minute, func() error { // until the Service has no address any more
		err := e.tryPod(t, mesh, func(*corev1.Pod) {})
		if err == nil || !strings.Contains(err.Error(), "injector.pillion.dev") {
			return fmt.Errorf("creating a pod in a labelled namespace gave %q; want a refusal that names the webhook", fmt.Sprint(err))
		}
		return nil
	})
	for name, try := range map[string]func() error{
		"a host-network pod in the labelled namespace": func() error {
			return e.tryPod(t, mesh, func(p *corev1.Pod) { p.Spec.HostNetwork = true })
		},
		"a Windows pod in the labelled namespace": func() error {
			return e.tryPod(t, mesh, func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} })
		},
		"a pod that says no in the labelled namespace": func() error {
			return e.tryPod(t, mesh, func(p *corev1.Pod) { p.Labels = map[string]string{istio.LabelInject: "false"} })
		},
		"a pod that asks, in kube-system":      func() error { return e.tryPod(t, "kube-system", asks) },
		"a pod of a namespace nobody labelled": func() error { return e.tryPod(t, e.Namespace(t), func(*corev1.Pod) {}) },
	} {
		if err := try(); err != nil {
			t.Errorf("%s: %v; want it created though no operator runs", name, err)
		}
	}
}

func asks(p *corev1.Pod) { p.Labels = map[string]string{istio.LabelInject: "true"} }

// tryPod is a dry run: the API server calls webhooks all the same.
func (e *env) tryPod(t *testing.T, namespace string, edit func(*corev1.Pod)) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "try-", Namespace: namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "localhost/app:1"}}},
	}
	edit(pod)
	_, err := e.Client.CoreV1().Pods(namespace).Create(deadline(t, 30*time.Second), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// checkPowerCut is the worst that can happen: every pod of the cluster is gone, the operator's too, and all starts at
// the same time. Nobody helps.
func checkPowerCut(t *testing.T, e *env, mesh string) {
	e.must(t, "delete", "pods", "--all", "--all-namespaces", "--grace-period=0", "--force", "--wait=false")
	if err := e.Reboot(deadline(t, 3*time.Minute), progress.New(os.Stderr)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	e.available(t, "kube-system", "needed")
	e.rolledOut(t)
	e.available(t, mesh, "web")
	t.Logf("everything was back %s after the node", time.Since(began).Round(time.Second))
	var list corev1.PodList
	if err := e.kubectl.Get(deadline(t, time.Minute), &list, "pods", "-n", mesh, "-l", "app=web"); err != nil {
		t.Fatal(err)
	}
	for _, pod := range list.Items {
		if !slices.Contains(names(pod.Spec.InitContainers), istio.ContainerProxy) {
			t.Errorf("pod %s came back without a sidecar", pod.Name)
		}
	}
	if len(list.Items) == 0 {
		t.Error("no pod of the labelled namespace came back")
	}
}
