package operator

import (
	"bytes"
	"maps"
	"testing"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/controller/injector"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
)

func TestEveryObjectOfConfigApplies(t *testing.T) {
	e := newEnv(t)
	e.OperatorNamespace()
	for _, folder := range []string{"default", "overlays/test", "overlays/watchdog", "overlays/canary", "samples"} {
		for _, object := range build(t, folder) {
			err := e.Client.Apply(e.Ctx(), client.ApplyConfigurationFromUnstructured(object),
				client.DryRunAll, client.ForceOwnership, client.FieldOwner("test"))
			if err != nil {
				t.Errorf("config/%s: %s %s: %v", folder, object.GetKind(), object.GetName(), err)
			}
		}
	}
}

func TestOperatorPodsPassPodSecurityAndPriority(t *testing.T) {
	e := newEnv(t)
	e.OperatorNamespace()
	deployment := deployment(t, "default")
	p := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
	p.Namespace, p.GenerateName = "pillion-system", "pillion-"
	must(t, e.Client.Create(e.Ctx(), p, client.DryRunAll))
	if p.Spec.Priority == nil || *p.Spec.Priority < 1_000_000_000 {
		t.Errorf("priority is %v, want the cluster's critical one", p.Spec.Priority)
	}
	privileged := p.DeepCopy()
	privileged.ResourceVersion, privileged.Spec.Containers[0].SecurityContext.Privileged = "", new(true)
	privileged.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
	if err := e.Client.Create(e.Ctx(), privileged, client.DryRunAll); !apierrors.IsForbidden(err) {
		t.Errorf("a privileged pod in pillion-system: %v, want Forbidden", err)
	}
}

func deployment(t *testing.T, folder string) *appsv1.Deployment {
	t.Helper()
	for _, object := range build(t, folder) {
		if object.GetKind() == "Deployment" {
			d := &appsv1.Deployment{}
			must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, d))
			return d
		}
	}
	t.Fatalf("config/%s has no Deployment", folder)
	return nil
}

func TestTestOverlayUsesLocalImages(t *testing.T) {
	container := deployment(t, "overlays/test").Spec.Template.Spec.Containers[0]
	var sidecar string
	for _, env := range container.Env {
		if env.Name == "PILLION_SIDECAR_IMAGE" {
			sidecar = env.Value
		}
	}
	if container.Image != "localhost/pillion:test" || sidecar != "localhost/pillion-sidecar:test" || len(container.Env) < 4 {
		t.Errorf("image %q, environment %+v", container.Image, container.Env)
	}
}

// TestOperatorRunsWithItsOwnPermissions runs the operator as the ServiceAccount of config/default, with nothing but its
// RBAC and under its admission policy.
func TestOperatorRunsWithItsOwnPermissions(t *testing.T) {
	e := newEnv(t)
	e.OperatorNamespace()
	e.Namespace = "pillion-system"
	e.Permissions("default")
	t.Cleanup(e.EmptyNamespace)
	kubeconfig := e.KubeconfigOf("pillion")
	r := e.Start("a", "--kubeconfig="+kubeconfig, "--create-default-injector")
	e.Ready(r)
	e.Condition("default", "WebhooksReady", metav1.ConditionTrue, "Applied")
	e.UpdateInjector("default", useURL(e))
	e.Serving("default")
	e.Injected(e.Meshed())
	live, err := e.Configuration(defaultConfiguration)
	must(t, err)
	must(t, e.Client.Delete(e.Ctx(), live.DeepCopy()))
	e.same("deleted", live)
	e.Event("WebhookRepaired", "somebody had deleted it")
	canary := e.Injector(canaryName)
	e.Serving("canary")
	must(t, e.Client.Delete(e.Ctx(), canary))
	e.gone("pillion-injector-canary")
	if r.Log.Has("is forbidden") || r.Log.Has("cannot") {
		t.Errorf("something was forbidden: %s", r.Log.Tail(20))
	}
	e.policyHolds(kubeconfig)
}

// policyHolds tries what RBAC allows the operator and the policy doesn't.
func (e *env) policyHolds(kubeconfig string) {
	e.T.Helper()
	c := e.ClientOf(kubeconfig)
	if err := c.Get(e.Ctx(), client.ObjectKey{Namespace: e.Namespace, Name: "another"}, &corev1.Secret{}); !apierrors.IsForbidden(err) {
		e.T.Errorf("reading another Secret: %v, want Forbidden", err)
	}
	e.refused(c, webhook(func(w *admissionv1.MutatingWebhookConfiguration) { w.Name = "somebody-elses" }), "named pillion-*")
	e.mayProbe(c)
	e.refused(c, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: "another"}}, "pillion-last-good-*")
}

// mayProbe does what the probe of serving certificates needs.
func (e *env) mayProbe(c client.Client) {
	e.T.Helper()
	if err := c.Get(e.Ctx(), client.ObjectKey{Namespace: "default", Name: "kubernetes"}, &discoveryv1.EndpointSlice{}); !apierrors.IsNotFound(err) {
		e.T.Errorf("reading where the API servers are: %v, want NotFound in a cluster that doesn't say", err)
	}
	if err := c.Get(e.Ctx(), client.ObjectKey{Namespace: "default", Name: "another"}, &discoveryv1.EndpointSlice{}); !apierrors.IsForbidden(err) {
		e.T.Errorf("reading where something else is: %v, want Forbidden", err)
	}
	keeper := probe.Keeper{Client: c, Live: c, CRD: injector.InjectorCRD(c), Log: logr.Discard()}
	want := probe.Configuration(probe.Target{Service: "pillion", Namespace: e.Namespace, Port: 443}, otherCA(e.T))
	must(e.T, keeper.Keep(e.Ctx(), want))
	must(e.T, keeper.Remove(e.Ctx(), want.Name))
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, GenerateName: "pillion-probe-"}}
	must(e.T, c.Create(e.Ctx(), lease, client.DryRunAll))
}

// TestProbeServiceLeadsToTheOperator: same pods and port as the webhook's Service, under the name that is rendered.
func TestProbeServiceLeadsToTheOperator(t *testing.T) {
	services := map[string]*corev1.Service{}
	for _, object := range build(t, "default") {
		if object.GetKind() == "Service" {
			s := &corev1.Service{}
			must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, s))
			services[s.Name] = s
		}
	}
	own, probes := services["pillion"], services[probe.Name("pillion")]
	if own == nil || probes == nil {
		t.Fatalf("Services %v", services)
	}
	if !maps.Equal(own.Spec.Selector, probes.Spec.Selector) || len(own.Spec.Selector) == 0 || len(probes.Spec.Ports) != 1 || probes.Spec.Ports[0] != own.Spec.Ports[0] {
		t.Errorf("%+v\nisn't like %+v", probes.Spec, own.Spec)
	}
}

func TestKustomizeIsDeterministic(t *testing.T) {
	var texts [2]bytes.Buffer
	for i := range texts {
		for _, object := range build(t, "default") {
			text, err := object.MarshalJSON()
			must(t, err)
			texts[i].Write(text)
		}
	}
	if !bytes.Equal(texts[0].Bytes(), texts[1].Bytes()) {
		t.Error("two builds differ")
	}
}
