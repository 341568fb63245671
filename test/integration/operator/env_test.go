package operator

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

const (
	clusterName = "operator" // these tests change what isn't in a namespace
	patience    = 30 * time.Second
)

// env is a cluster without an operator: the CRD, an empty operator namespace, and the Service to be.
type env struct {
	t         *testing.T
	cluster   *testenv.Cluster
	client    client.Client
	namespace string
	service   *service
}

func newEnv(t *testing.T) *env { return newEnvIn(t, clusterName) }

func newEnvIn(t *testing.T, name string) *env {
	t.Helper()
	c := testenv.Start(t, testenv.Options{Name: name})
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, apiextensionsv1.AddToScheme} {
		must(t, add(scheme))
	}
	cl, err := client.New(c.Config, client.Options{Scheme: scheme})
	must(t, err)
	e := &env{t: t, cluster: c, client: cl}
	e.installCRD()
	e.namespace = c.Namespace(t)
	e.service = newService(t)
	t.Cleanup(e.clean)
	return e
}

// clean removes what isn't in a namespace. Operators have ended by then: they were started later.
func (e *env) clean() {
	ctx := context.Background()
	for _, object := range []client.Object{&v1alpha1.Injector{}, &admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}} {
		if err := e.client.DeleteAllOf(ctx, object); err != nil {
			e.t.Errorf("cleaning up: %v", err)
		}
	}
}

func (e *env) installCRD() {
	e.t.Helper()
	text, err := os.ReadFile(filepath.Join(configDir, "crd", "pillion.dev_injectors.yaml"))
	must(e.t, err)
	var crd apiextensionsv1.CustomResourceDefinition
	must(e.t, yaml.UnmarshalStrict(text, &crd))
	if err := e.client.Create(e.ctx(), &crd); err != nil && !apierrors.IsAlreadyExists(err) {
		e.t.Fatal(err)
	}
	e.eventually("the CRD is established", func() error {
		var list v1alpha1.InjectorList
		return e.client.List(e.ctx(), &list)
	})
}

func (e *env) ctx() context.Context { return e.t.Context() }

// injector is an Injector of the default revision that the API server reaches through the relay.
func (e *env) injector(change ...func(*v1alpha1.Injector)) *v1alpha1.Injector {
	e.t.Helper()
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec: v1alpha1.InjectorSpec{Webhook: v1alpha1.Webhook{URL: e.service.url()}}}
	for _, c := range change {
		c(inj)
	}
	must(e.t, e.client.Create(e.ctx(), inj))
	return inj
}

func (e *env) updateInjector(name string, change func(*v1alpha1.Injector)) {
	e.t.Helper()
	e.eventually("update Injector "+name, func() error {
		inj := &v1alpha1.Injector{}
		if err := e.client.Get(e.ctx(), client.ObjectKey{Name: name}, inj); err != nil {
			return err
		}
		change(inj)
		return e.client.Update(e.ctx(), inj)
	})
}

// condition waits until an Injector's present version has a condition with this status and reason.
func (e *env) condition(name, kind string, status metav1.ConditionStatus, reason string) *v1alpha1.Injector {
	e.t.Helper()
	inj := &v1alpha1.Injector{}
	e.eventually(fmt.Sprintf("%s of Injector %s is %s because of %s", kind, name, status, reason), func() error {
		if err := e.client.Get(e.ctx(), client.ObjectKey{Name: name}, inj); err != nil {
			return err
		}
		c := meta.FindStatusCondition(inj.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason || c.ObservedGeneration != inj.Generation {
			return fmt.Errorf("it is %+v at generation %d", c, inj.Generation)
		}
		return nil
	})
	return inj
}

// serving waits until pods can be injected.
func (e *env) serving(name string) {
	e.t.Helper()
	e.condition(name, v1alpha1.ConditionWebhooksReady, metav1.ConditionTrue, "Applied")
	e.condition(name, v1alpha1.ConditionCertificatesReady, metav1.ConditionTrue, "Trusted")
}

// meshed is a namespace whose pods are injected.
func (e *env) meshed() string {
	return e.cluster.Namespace(e.t, map[string]string{"istio-injection": "enabled"})
}

func pod(namespace string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "app-", Namespace: namespace},
		Spec: corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "app", Image: "app:1"}}}}
}

// create makes a pod, for show only, and returns what admission made of it.
func (e *env) create(ctx context.Context, p *corev1.Pod) (*corev1.Pod, error) {
	made := p.DeepCopy()
	return made, e.client.Create(ctx, made, client.DryRunAll)
}

// injected waits until pods of a namespace get a sidecar.
func (e *env) injected(namespace string) *corev1.Pod {
	e.t.Helper()
	var made *corev1.Pod
	e.eventually("a pod is injected", func() (err error) {
		if made, err = e.create(e.ctx(), pod(namespace)); err == nil && !hasProxy(made) {
			err = fmt.Errorf("it has no sidecar: %v", names(made))
		}
		return err
	})
	return made
}

func hasProxy(p *corev1.Pod) bool {
	for _, name := range names(p) {
		if name == "istio-proxy" {
			return true
		}
	}
	return false
}

func names(p *corev1.Pod) []string {
	var all []string
	for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
		all = append(all, c.Name)
	}
	return all
}

func (e *env) configuration(name string) (*admissionv1.MutatingWebhookConfiguration, error) {
	c := &admissionv1.MutatingWebhookConfiguration{}
	return c, e.client.Get(e.ctx(), client.ObjectKey{Name: name}, c)
}

// event waits for an Event on an Injector whose message has all of parts.
func (e *env) event(reason string, parts ...string) {
	e.t.Helper()
	e.eventFor("default", "Injector", "", reason, parts...)
}

// eventFor waits for one on an object of that kind, with that name unless it is empty.
func (e *env) eventFor(namespace, kind, name, reason string, parts ...string) {
	e.t.Helper()
	e.eventually(fmt.Sprintf("an Event %s on %s %s with %q", reason, kind, name, parts), func() error {
		list, err := e.cluster.Client.CoreV1().Events(namespace).List(e.ctx(), metav1.ListOptions{FieldSelector: "reason=" + reason})
		if err != nil {
			return err
		}
		var seen []string
		for _, event := range list.Items {
			about := event.InvolvedObject
			if about.Kind == kind && (name == "" || about.Name == name) && containsAll(event.Message, parts) {
				return nil
			}
			seen = append(seen, about.Kind+" "+about.Name+": "+event.Message)
		}
		return fmt.Errorf("seen only %q", seen)
	})
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// eventually polls until test succeeds.
func (e *env) eventually(what string, test func() error) {
	e.t.Helper()
	e.within(patience, what, test)
}

func (e *env) within(limit time.Duration, what string, test func() error) {
	e.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := test()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("waited %s until %s: %v", limit, what, err)
		}
		select {
		case <-e.t.Context().Done():
			e.t.Fatal(e.t.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
