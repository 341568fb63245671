package workload

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/workload"
)

// operatorNamespace is config/default's, for its RBAC is bound there.
const operatorNamespace = "pillion-system"

// TestTheOperatorRestoresSidecarsWithItsOwnPermissions has the RBAC and the policies of config/default: under these
// `pillion operator` counts, which is its default, and the controller, made here for its times are long, first says what
// it would evict and then does. Each has a namespace and an Injector of its own.
func TestTheOperatorRestoresSidecarsWithItsOwnPermissions(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	kubeconfig := e.permissions()
	e.counted(kubeconfig)
	newEnv(t).restored(kubeconfig)
	e.permitted(kubeconfig)
}

// counted runs the operator over a pod that misses its sidecar.
func (e *env) counted(kubeconfig string) {
	e.t.Helper()
	e.deploy("web", 1)
	before := e.uids()
	o := e.operate(kubeconfig)
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: e.revision()}, Spec: v1alpha1.InjectorSpec{
		Revision: e.revision(), Webhook: v1alpha1.Webhook{URL: "https://" + o.webhook}, Workload: evicting(v1alpha1.EvictMissing, 6)}}
	must(e.t, e.api.Create(e.ctx(), inj))
	e.t.Cleanup(func() { e.removeInjector(inj) })
	e.ask()
	e.eventually("status and metrics count the pod as missing", func() error {
		metric, err := o.metric(e.ctx(), fmt.Sprintf(`pillion_workload_pods{injector=%q,state="missing"}`, inj.Name))
		if pods := e.counts(); err != nil || metric != "1" || pods.Missing != 1 || pods.Namespaces[0].Name != e.namespace {
			return fmt.Errorf("status.pods is %+v, the metric %q (%w)", pods, metric, err)
		}
		return nil
	})
	e.event("SidecarMissing", "kubectl rollout restart Deployment/web")
	e.eventually("the log says why nothing is evicted", func() error {
		if !o.log.has("this replica leads for less than 5m") {
			return errors.New("it doesn't")
		}
		return nil
	})
	if !slices.Equal(e.uids(), before) {
		e.t.Error("a leader that just began evicted")
	}
	if o.log.has("is forbidden") || o.log.has("cannot") {
		e.t.Errorf("something was forbidden: %s", o.log.tail(20))
	}
}

// restored has the controller evict a pod as the operator's ServiceAccount.
func (e *env) restored(kubeconfig string) {
	e.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	must(e.t, err)
	e.deploy("web", 1)
	before := e.uids()
	c := e.injectAs(config, workload.Options{Now: time.Now, Hold: time.Second, Young: time.Second, Pause: 100 * time.Millisecond},
		v1alpha1.Workload{Evict: v1alpha1.EvictMissing}, true)
	e.ask()
	c.run()
	e.eventually("a dry run says the eviction", func() error { return c.evicted("dry_run", 1) })
	if !c.heard("SidecarEvictionDryRun") || !slices.Equal(e.uids(), before) {
		e.t.Fatal("a dry run evicted, or no Event tells what it would have")
	}
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: e.revision()}}
	e.settings(inj, evicting(v1alpha1.EvictMissing, 6))
	c.compile(inj)
	e.eventually("the pod is evicted and comes back with a sidecar", func() error {
		if n := e.withSidecar(); n != 1 {
			return fmt.Errorf("%d pods have one", n)
		}
		return c.evicted("evicted", 1)
	})
	e.settled("web", 1)
	e.eventually("status counts it", func() error {
		if pods := e.counts(); pods.Injected != 1 || pods.Missing != 0 {
			return fmt.Errorf("it is %+v", pods)
		}
		return nil
	})
}

// run has the controller look by itself until the test ends.
func (c *controlled) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := c.c.Start(ctx); err != nil {
			c.t.Errorf("the controller ended: %v", err)
		}
	})
	c.t.Cleanup(func() { cancel(); wait.Wait() })
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
	e.t.Helper()
	e.eventually("the Injector is changed", func() error {
		if err := e.api.Get(e.ctx(), client.ObjectKeyFromObject(inj), inj); err != nil {
			return err
		}
		inj.Spec.Workload = settings
		return e.api.Update(e.ctx(), inj)
	})
}

// removeInjector waits until the operator took its webhooks away: others' namespaces mustn't hang on it.
func (e *env) removeInjector(inj *v1alpha1.Injector) {
	_ = e.api.Delete(context.Background(), inj)
	_ = e.api.DeleteAllOf(context.Background(), &corev1.Pod{}, client.InNamespace(e.namespace))
}

// event waits for one in the test's namespace.
func (e *env) event(reason, words string) {
	e.t.Helper()
	e.eventually("an Event "+reason, func() error {
		list, err := e.cluster.Client.CoreV1().Events(e.namespace).List(e.ctx(), metav1.ListOptions{FieldSelector: "reason=" + reason})
		if err != nil {
			return err
		}
		for _, event := range list.Items {
			if event.InvolvedObject.Kind == "ReplicaSet" && strings.Contains(event.Message, words) {
				return nil
			}
		}
		return fmt.Errorf("%d others", len(list.Items))
	})
}

// permissions applies what config/default says of permissions and returns a kubeconfig of its ServiceAccount.
func (e *env) permissions() string {
	e.t.Helper()
	kinds := []string{"Namespace", "ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(configDir, "default"))
	must(e.t, err)
	for _, r := range resources.Resources() {
		content, err := r.Map()
		must(e.t, err)
		if object := (&unstructured.Unstructured{Object: content}); slices.Contains(kinds, object.GetKind()) {
			must(e.t, e.api.Apply(e.ctx(), client.ApplyConfigurationFromUnstructured(object), client.ForceOwnership, client.FieldOwner("test")))
			e.t.Cleanup(func() { _ = e.api.Delete(context.Background(), object) })
		}
	}
	token, err := e.cluster.Client.CoreV1().ServiceAccounts(operatorNamespace).CreateToken(e.ctx(), "pillion", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(e.t, err)
	config, err := clientcmd.LoadFromFile(e.cluster.Kubeconfig())
	must(e.t, err)
	for user := range config.AuthInfos {
		config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	}
	path := filepath.Join(e.t.TempDir(), "kubeconfig")
	must(e.t, clientcmd.WriteToFile(*config, path))
	return path
}

// permitted tries what the operator must not be able to do to pods.
func (e *env) permitted(kubeconfig string) {
	e.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	must(e.t, err)
	api, err := client.New(rest.CopyConfig(config), client.Options{Scheme: e.api.Scheme()})
	must(e.t, err)
	pod := &e.podsOf("web")[0]
	for what, err := range map[string]error{
		"delete a pod":  api.Delete(e.ctx(), pod.DeepCopy()),
		"change a pod":  api.Patch(e.ctx(), pod.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`))),
		"create a pod":  api.Create(e.ctx(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "p"}, Spec: pod.Spec}),
		"read a Secret": api.Get(e.ctx(), client.ObjectKey{Namespace: e.namespace, Name: "s"}, &corev1.Secret{}),
		"read a PDB":    api.List(e.ctx(), &policyv1.PodDisruptionBudgetList{}),
		"evict a system pod": api.SubResource("eviction").Create(e.ctx(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "p"}},
			&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "p"}}),
		"evict another operator": api.SubResource("eviction").Create(e.ctx(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "p"}},
			&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "p"}}),
	} {
		if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
			e.t.Errorf("the operator may %s: %v", what, err)
		}
	}
}
