package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/test/install"
)

// workers create pods at the same time, so at most that many creations are in flight at any moment.
const workers = 4

// load creates pods (dry run: the API server calls the webhook all the same) until stopped, and counts.
type load struct {
	created, failed atomic.Int64
	bare            bool // a pod without a sidecar is right too
	mu              sync.Mutex
	errors          []string
	stop            context.CancelFunc
	done            sync.WaitGroup
}

func startLoad(t *testing.T, e *env, namespace string) *load {
	t.Helper()
	return (&load{}).start(t, e, namespace)
}

func (l *load) start(t *testing.T, e *env, namespace string) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	for range workers {
		l.done.Go(func() { l.work(ctx, e, namespace) })
	}
	t.Cleanup(func() { cancel(); l.done.Wait() })
	return l
}

func (l *load) work(ctx context.Context, e *env, namespace string) {
	for ctx.Err() == nil {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "load-", Namespace: namespace},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "localhost/app:1"}}},
		}
		made, err := e.Client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.fail(err.Error())
		case made.Annotations[istio.AnnotationStatus] == "" && !l.bare:
			l.fail("a pod was created without a sidecar")
		default:
			l.created.Add(1)
		}
	}
}

func (l *load) fail(text string) {
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errors) < 5 {
		l.errors = append(l.errors, time.Now().Format("15:04:05.000 ")+text)
	}
}

// end stops the load and returns what failed.
func (l *load) end(t *testing.T) int64 {
	t.Helper()
	l.stop()
	l.done.Wait()
	t.Logf("%d pods created, %d failed", l.created.Load(), l.failed.Load())
	for _, text := range l.errors {
		t.Log(text)
	}
	if l.created.Load() < 100 {
		t.Errorf("only %d pods were created: this load proves nothing", l.created.Load())
	}
	return l.failed.Load()
}

// testOperatorReplaced: with two replicas and failurePolicy Fail, replacing them in good order costs no pod, and killing
// one costs at most what it was answering.
func testOperatorReplaced(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	t.Run("rollout restart", func(t *testing.T) {
		l := startLoad(t, e, namespace)
		e.must(t, "rollout", "restart", "-n", install.Namespace, "deployment/pillion")
		e.rolledOut(t)
		if failed := l.end(t); failed != 0 {
			t.Errorf("%d creations failed during a rollout restart; want none", failed)
		}
	})
	t.Run("eviction of both, one after the other", func(t *testing.T) {
		l := startLoad(t, e, namespace)
		for _, pod := range e.operatorPods(t) {
			e.evict(t, pod.Name)
			e.rolledOut(t)
		}
		if failed := l.end(t); failed != 0 {
			t.Errorf("%d creations failed while the operator's pods were evicted; want none", failed)
		}
	})
	t.Run("SIGKILL of one", func(t *testing.T) {
		l := startLoad(t, e, namespace)
		eventually(t, 30*time.Second, func() error {
			if l.created.Load() < 50 {
				return fmt.Errorf("only %d pods so far", l.created.Load())
			}
			return nil
		})
		killOperator(t, e.operatorPods(t)[0].Name, true)
		after := l.created.Load()
		eventually(t, 30*time.Second, func() error {
			if l.created.Load() < after+200 {
				return fmt.Errorf("%d pods since the kill", l.created.Load()-after)
			}
			return nil
		})
		e.rolledOut(t)
		if failed := l.end(t); failed > workers {
			t.Errorf("%d creations failed after a SIGKILL; want at most the %d in flight", failed, workers)
		}
	})
}

// testReplicaKilled: with parent and all a replica's socket is gone; until the Service has noticed, what is sent there is
// refused. How much that is depends on kubelet and kube-proxy, so it's counted; what must hold is that it passes.
func testReplicaKilled(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	l := startLoad(t, e, namespace)
	eventually(t, 30*time.Second, func() error {
		if l.created.Load() < 50 {
			return fmt.Errorf("only %d pods so far", l.created.Load())
		}
		return nil
	})
	killed := time.Now()
	killOperator(t, e.operatorPods(t)[0].Name, false)
	e.rolledOut(t)
	failed, created := l.failed.Load(), l.created.Load()
	t.Logf("%d of %d creations failed after a replica was killed with its parent", failed, failed+created)
	eventually(t, 30*time.Second, func() error {
		if l.created.Load() < created+200 {
			return fmt.Errorf("%d pods since the replica is back", l.created.Load()-created)
		}
		return nil
	})
	if late := l.end(t) - failed; late != 0 {
		t.Errorf("%d creations failed after both replicas were ready again, %s after the kill", late, time.Since(killed))
	}
}

// rolledOut waits until all replicas are ready and none is left of before.
func (e *env) rolledOut(t *testing.T) {
	t.Helper()
	var deployment appsv1.Deployment
	if err := e.kubectl.Get(deadline(t, time.Minute), &deployment, "deployment", "-n", install.Namespace, "pillion"); err != nil {
		t.Fatal(err)
	}
	want := int(*deployment.Spec.Replicas)
	e.must(t, "rollout", "status", "-n", install.Namespace, "deployment/pillion", "--timeout=300s")
	eventually(t, 3*time.Minute, func() error { // a replica that ends waits for idle connections, up to 105 s
		pods := e.allOperatorPods(t)
		for _, pod := range pods {
			if pod.DeletionTimestamp != nil || !isReady(&pod) {
				return fmt.Errorf("pod %s is ending or not ready", pod.Name)
			}
		}
		if len(pods) != want {
			return fmt.Errorf("%d pods, want %d", len(pods), want)
		}
		return nil
	})
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (e *env) allOperatorPods(t *testing.T) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := e.kubectl.Get(deadline(t, time.Minute), &list, "pods", "-n", install.Namespace); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func (e *env) operatorPods(t *testing.T) []corev1.Pod {
	t.Helper()
	pods := e.allOperatorPods(t)
	if len(pods) != 2 {
		t.Fatalf("%d operator pods, want 2", len(pods))
	}
	return pods
}

// evict is what `kubectl drain` does with each pod; the PodDisruptionBudget may refuse for a while.
func (e *env) evict(t *testing.T, name string) {
	t.Helper()
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: install.Namespace}}
	eventually(t, 2*time.Minute, func() error {
		return e.Client.PolicyV1().Evictions(install.Namespace).Evict(deadline(t, 30*time.Second), eviction)
	})
}

// isWorker: the process that works, not the one that holds its socket.
func isWorker(pid int) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(cmdline, []byte("--webhook-listener-fd"))
}

// killOperator sends SIGKILL to the working process of an operator pod, or to the one that holds its socket; both are
// known by their environment.
func killOperator(t *testing.T, pod string, worker bool) {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var victims []int // all found before the first is killed: a worker that dies with its parent loses its command line first
	for _, path := range entries {
		environ, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(environ, []byte("\x00POD_NAME="+pod+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil || isWorker(pid) != worker {
			continue
		}
		victims = append(victims, pid)
	}
	if len(victims) != 1 {
		t.Fatalf("pod %s has %d such processes %v, want one", pod, len(victims), victims)
	}
	if err := syscall.Kill(victims[0], syscall.SIGKILL); err != nil {
		t.Fatalf("killing pid %d of %s: %v", victims[0], pod, err)
	}
}

// testUninstall does what docs/operations.md says: no creation is refused meanwhile, and nothing of ours is left.
func testUninstall(t *testing.T, e *env) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), uninstallSection)
	if len(shellBlocks(section)) < 3 {
		t.Fatalf("docs/operations.md hardly says how to uninstall: %s", section)
	}
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	l := (&load{bare: true}).start(t, e, namespace)
	e.runBlocks(t, e.toolFolder(t), section)
	if failed := l.end(t); failed != 0 {
		t.Errorf("%d creations were refused while Pillion was uninstalled; want none", failed)
	}
	for _, kind := range []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations", "validatingadmissionpolicies", "clusterroles", "clusterrolebindings", "crds", "namespaces"} {
		if out := e.must(t, "get", kind, "-o", "name"); strings.Contains(out, "pillion") {
			t.Errorf("left of us: %s", out)
		}
	}
}
