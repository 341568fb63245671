package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/workload"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

// TestTheOperatorRestoresSidecarsWithItsOwnPermissions has the RBAC and the policies of config/default: under these
// `pillion operator` counts, which is its default, and the controller, made here for its times are long, first says what
// it would evict and then does. Each has a namespace and an Injector of its own.
func TestTheOperatorRestoresSidecarsWithItsOwnPermissions(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.OperatorNamespace()
	e.Namespace = "pillion-system" // where config/default binds its RBAC
	e.Permissions("default")
	kubeconfig := e.KubeconfigOf("pillion")
	e.counted(kubeconfig)
	newEnv(t).restored(kubeconfig)
	e.permitted(kubeconfig)
}

// counted runs the operator over a pod that misses its sidecar.
func (e *env) counted(kubeconfig string) {
	e.T.Helper()
	e.deploy("web", 1)
	before := e.uids()
	o := e.operate(kubeconfig)
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: e.revision()}, Spec: v1alpha1.InjectorSpec{
		Revision: e.revision(), Webhook: v1alpha1.Webhook{URL: "https://" + o.Webhook}, Workload: evicting(v1alpha1.EvictMissing, 6)}}
	must(e.T, e.Client.Create(e.Ctx(), inj))
	e.T.Cleanup(func() { e.removeInjector(inj) })
	e.ask()
	e.Eventually("status and metrics count the pod as missing", func() error {
		metric, err := o.Metric(e.Ctx(), fmt.Sprintf(`pillion_workload_pods{injector=%q,state="missing"}`, inj.Name))
		if pods := e.counts(); err != nil || metric != "1" || pods.Missing != 1 || pods.Namespaces[0].Name != e.namespace {
			return fmt.Errorf("status.pods is %+v, the metric %q (%w)", pods, metric, err)
		}
		return nil
	})
	e.EventFor(e.namespace, "ReplicaSet", "", "SidecarMissing", "kubectl rollout restart Deployment/web")
	e.Eventually("the log says why nothing is evicted", func() error {
		if !o.Log.Has("this replica leads for less than 5m") {
			return errors.New("it doesn't")
		}
		return nil
	})
	if !slices.Equal(e.uids(), before) {
		e.T.Error("a leader that just began evicted")
	}
	if o.Log.Has("is forbidden") || o.Log.Has("cannot") {
		e.T.Errorf("something was forbidden: %s", o.Log.Tail(20))
	}
}

// restored has the controller evict a pod as the operator's ServiceAccount.
func (e *env) restored(kubeconfig string) {
	e.T.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	must(e.T, err)
	e.deploy("web", 1)
	before := e.uids()
	c := e.injectAs(config, workload.Options{Now: time.Now, Hold: time.Second, Young: time.Second, Pause: 100 * time.Millisecond},
		v1alpha1.Workload{Evict: v1alpha1.EvictMissing}, true)
	e.ask()
	c.run()
	e.Eventually("a dry run says the eviction", func() error { return c.evicted("dry_run", 1) })
	if !c.heard("SidecarEvictionDryRun") || !slices.Equal(e.uids(), before) {
		e.T.Fatal("a dry run evicted, or no Event tells what it would have")
	}
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: e.revision()}}
	e.settings(inj, evicting(v1alpha1.EvictMissing, 6))
	c.compile(inj)
	e.Eventually("the pod is evicted and comes back with a sidecar", func() error {
		if n := e.withSidecar(); n != 1 {
			return fmt.Errorf("%d pods have one", n)
		}
		return c.evicted("evicted", 1)
	})
	e.settled("web", 1)
	e.Eventually("status counts it", func() error {
		if pods := e.counts(); pods.Injected != 1 || pods.Missing != 0 {
			return fmt.Errorf("it is %+v", pods)
		}
		return nil
	})
}

// operate runs the operator for this test's Injector and returns when it is ready. It ends in good order.
func (e *env) operate(kubeconfig string) *operatortest.Replica {
	e.T.Helper()
	r := e.Start("test", "--kubeconfig="+kubeconfig, "--supervise=false", "--revisions="+e.revision(), "--drain=1s", "--linger=1s")
	e.T.Cleanup(func() {
		r.Terminate()
		r.Exited(e.T)
	})
	e.Ready(r)
	return r
}

// run has the controller look by itself until the test ends.
func (c *controlled) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := c.c.Start(ctx); err != nil {
			c.T.Errorf("the controller ended: %v", err)
		}
	})
	c.T.Cleanup(func() { cancel(); wait.Wait() })
}

// evicted is an error until there were so many evictions of a result.
func (c *controlled) evicted(result string, want float64) error {
	if got := c.evictions(result); got != want {
		return fmt.Errorf("%v %s", got, result)
	}
	return nil
}

// settings changes what an Injector says of workloads.
func (e *env) settings(inj *v1alpha1.Injector, settings v1alpha1.Workload) {
	e.T.Helper()
	e.Eventually("the Injector is changed", func() error {
		if err := e.Client.Get(e.Ctx(), client.ObjectKeyFromObject(inj), inj); err != nil {
			return err
		}
		inj.Spec.Workload = settings
		return e.Client.Update(e.Ctx(), inj)
	})
}

// removeInjector waits until the operator took its webhooks away: others' namespaces mustn't hang on it.
func (e *env) removeInjector(inj *v1alpha1.Injector) {
	_ = e.Client.Delete(context.Background(), inj)
	_ = e.Client.DeleteAllOf(context.Background(), &corev1.Pod{}, client.InNamespace(e.namespace))
}

// permitted tries what the operator must not be able to do to pods.
func (e *env) permitted(kubeconfig string) {
	e.T.Helper()
	api := e.ClientOf(kubeconfig)
	pod := &e.podsOf("web")[0]
	maker := &appsv1.ReplicaSet{}
	if err := api.Get(e.Ctx(), client.ObjectKey{Namespace: e.namespace, Name: pod.OwnerReferences[0].Name}, maker); err != nil {
		e.T.Errorf("the operator can't ask whether an owner wants another pod: %v", err)
	}
	for what, err := range map[string]error{
		"delete a pod":  api.Delete(e.Ctx(), pod.DeepCopy()),
		"change a pod":  api.Patch(e.Ctx(), pod.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`))),
		"create a pod":  api.Create(e.Ctx(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "p"}, Spec: pod.Spec}),
		"read a Secret": api.Get(e.Ctx(), client.ObjectKey{Namespace: e.namespace, Name: "s"}, &corev1.Secret{}),
		"read a PDB":    api.List(e.Ctx(), &policyv1.PodDisruptionBudgetList{}),
		"evict a system pod": api.SubResource("eviction").Create(e.Ctx(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "p"}},
			&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "p"}}),
		"evict another operator": api.SubResource("eviction").Create(e.Ctx(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: "p"}},
			&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: "p"}}),
	} {
		if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
			e.T.Errorf("the operator may %s: %v", what, err)
		}
	}
}
