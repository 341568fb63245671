package workload

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
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
)

// operatorNamespace is config/default's, for its RBAC is bound there.
const operatorNamespace = "pillion-system"

// oldEnough is how long a pod of real age takes to be evicted, and then some.
const oldEnough = 2*time.Minute + patience

// TestTheOperatorRestoresSidecarsWithItsOwnPermissions runs `pillion operator` with the RBAC and under the policies of
// config/default: first nothing but the default, which counts; then a dry run; then for real.
func TestTheOperatorRestoresSidecarsWithItsOwnPermissions(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.deploy("web", 1)
	before := e.uids()
	kubeconfig := e.permissions()
	o := e.operate(kubeconfig)
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: e.revision()}, Spec: v1alpha1.InjectorSpec{
		Revision: e.revision(), Webhook: v1alpha1.Webhook{URL: "https://" + o.webhook}}}
	must(t, e.api.Create(e.ctx(), inj))
	t.Cleanup(func() { e.removeInjector(inj) })
	e.ask()
	e.eventually("status and metrics count the pod as missing", func() error {
		metric, err := o.metric(e.ctx(), fmt.Sprintf(`pillion_workload_pods{injector=%q,state="missing"}`, inj.Name))
		if pods := e.counts(); err != nil || metric != "1" || pods.Missing != 1 || pods.Namespaces[0].Name != e.namespace {
			return fmt.Errorf("status.pods is %+v, the metric %q (%w)", pods, metric, err)
		}
		return nil
	})
	e.event("SidecarMissing", "kubectl rollout restart Deployment/web")

	e.settings(inj, v1alpha1.Workload{Evict: v1alpha1.EvictMissing})
	e.within(oldEnough, "a dry run says the eviction", func() error { return o.expect(e.ctx(), "dry_run", "1") })
	e.event("SidecarEvictionDryRun", "would be evicted")
	if !slices.Equal(e.uids(), before) {
		t.Fatal("a dry run evicted")
	}

	e.settings(inj, evicting(v1alpha1.EvictMissing, 6))
	e.eventually("the pod is evicted and comes back with a sidecar", func() error {
		if n := e.withSidecar(); n != 1 {
			return fmt.Errorf("%d pods have one", n)
		}
		return o.expect(e.ctx(), "evicted", "1")
	})
	e.settled("web", 1)
	e.eventually("status counts it", func() error {
		if pods := e.counts(); pods.Injected != 1 || pods.Missing != 0 {
			return fmt.Errorf("it is %+v", pods)
		}
		return nil
	})
	if o.log.has("is forbidden") || o.log.has("cannot") {
		t.Errorf("something was forbidden: %s", o.log.tail(20))
	}
	e.permitted(kubeconfig)
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
