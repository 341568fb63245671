package operator

import (
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

// TestTwoOperatorsSideBySide runs that of config/default and that of config/overlays/canary, each as its ServiceAccount,
// with nothing but its RBAC and under the one admission policy.
func TestTwoOperatorsSideBySide(t *testing.T) {
	e := newEnv(t)
	e.OperatorNamespace()
	e.Namespace = "pillion-system"
	t.Cleanup(e.EmptyNamespace)
	e.Permissions("default")
	e.Permissions("overlays/canary")
	stable, canary := e.KubeconfigOf("pillion"), e.KubeconfigOf("pillion-canary")
	first := e.Start("first", "--kubeconfig="+stable, "--revisions=!canary")
	second := e.Run(operatortest.Process{Name: "second", Flags: []string{"--kubeconfig=" + canary}, Env: settings(t, "overlays/canary")})
	e.Ready(first, second)
	e.Injector(at(first))
	e.Injector(canaryName, at(second))
	e.Serving("default")
	e.Serving("canary")
	for namespace, want := range map[string]string{e.Meshed(): "default", e.Cluster.Namespace(t, map[string]string{"istio.io/rev": "canary"}): "canary"} {
		e.Injected(namespace)
		if by, err := e.injectorOf(namespace); err != nil || by != want {
			t.Errorf("injected by %q, want %s (%v)", by, want, err)
		}
	}
	e.isHome("pillion", first)
	e.isHome("pillion-canary", second)
	e.keepsToItself(e.ClientOf(stable), "pillion", "pillion-canary")
	e.keepsToItself(e.ClientOf(canary), "pillion-canary", "pillion")
	for _, r := range []*replica{first, second} {
		if r.Log.Has("is forbidden") || r.Log.Has("Contested") || r.Log.Has("\"repair\":true") {
			t.Errorf("replica %s was forbidden something or fought: %s", r.Name, r.Log.Tail(20))
		}
	}
}

// TestCanaryMayTouchNothingByTheFirstOnesNames: what an operator makes is named after its Service, so a rule that names
// something has to name the canary's.
func TestCanaryMayTouchNothingByTheFirstOnesNames(t *testing.T) {
	named := 0
	var services []string
	for _, object := range build(t, "overlays/canary") {
		if object.GetKind() == "Service" {
			services = append(services, object.GetName())
		}
		rules, _, err := unstructured.NestedSlice(object.Object, "rules")
		must(t, err)
		for i, rule := range rules {
			names, _, err := unstructured.NestedStringSlice(rule.(map[string]any), "resourceNames")
			must(t, err)
			for _, name := range names {
				switch {
				case strings.HasPrefix(name, "pillion-canary"):
					named++
				case strings.HasPrefix(name, "pillion"):
					t.Errorf("%s %s, rule %d: names %s; patch it in config/overlays/canary", object.GetKind(), object.GetName(), i, name)
				}
			}
		}
	}
	slices.Sort(services)
	if want := []string{"pillion-canary", "pillion-canary-probe"}; !slices.Equal(services, want) {
		t.Errorf("Services %v, want %v", services, want)
	}
	if named < 3 {
		t.Errorf("%d names found: this test would prove little", named)
	}
}

// at has the API server call one replica, past the relay.
func at(r *replica) func(*v1alpha1.Injector) {
	return func(i *v1alpha1.Injector) { i.Spec.Webhook.URL = "https://" + r.Webhook }
}

// settings are those of a Deployment's environment.
func settings(t *testing.T, folder string) []string {
	t.Helper()
	var all []string
	for _, v := range deployment(t, folder).Spec.Template.Spec.Containers[0].Env {
		if strings.HasPrefix(v.Name, "PILLION_") {
			all = append(all, v.Name+"="+v.Value)
		}
	}
	return all
}

// isHome waits until an operator has all that is named after its Service.
func (e *env) isHome(service string, r *replica) {
	e.T.Helper()
	e.Eventually(r.Name+" leads", func() error { return e.Leads(client.ObjectKey{Namespace: e.Namespace, Name: service}, r) })
	e.Eventually(service+" has a CA and is asked about Injectors", func() error {
		if err := e.Client.Get(e.Ctx(), client.ObjectKey{Namespace: e.Namespace, Name: service + "-serving-ca"}, &corev1.Secret{}); err != nil {
			return err
		}
		return e.Client.Get(e.Ctx(), key(service+"-injector-validation"), &admissionv1.ValidatingWebhookConfiguration{})
	})
}

// keepsToItself tries what one operator would do to the other.
func (e *env) keepsToItself(c client.Client, own, other string) {
	e.T.Helper()
	lease, secret := &coordinationv1.Lease{}, &corev1.Secret{}
	must(e.T, e.Client.Get(e.Ctx(), client.ObjectKey{Namespace: e.Namespace, Name: other}, lease))
	must(e.T, e.Client.Get(e.Ctx(), client.ObjectKey{Namespace: e.Namespace, Name: other + "-serving-ca"}, secret))
	validation := &admissionv1.ValidatingWebhookConfiguration{}
	must(e.T, e.Client.Get(e.Ctx(), key(other+"-injector-validation"), validation))
	for what, err := range map[string]error{
		"take its Lease":     c.Update(e.Ctx(), lease, client.DryRunAll),
		"read its CA":        c.Get(e.Ctx(), client.ObjectKeyFromObject(secret), &corev1.Secret{}),
		"write its CA":       c.Update(e.Ctx(), secret, client.DryRunAll),
		"change who's asked": c.Patch(e.Ctx(), validation, client.RawPatch("application/merge-patch+json", []byte(`{"webhooks":[]}`)), client.DryRunAll),
	} {
		if !apierrors.IsForbidden(err) {
			e.T.Errorf("%s may %s, which is %s's: %v, want Forbidden", own, what, other, err)
		}
	}
	to := func(service string) *admissionv1.MutatingWebhookConfiguration {
		return webhook(func(w *admissionv1.MutatingWebhookConfiguration) {
			w.Webhooks[0].ClientConfig.Service = &admissionv1.ServiceReference{Namespace: e.Namespace, Name: service}
		})
	}
	e.refused(c, to(other), "its own Service")
	must(e.T, c.Create(e.Ctx(), to(own), client.DryRunAll))
	named := func(name string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: name}}
	}
	e.refused(c, named("another"), own+"-last-good-*")
	e.refused(c, named(v1alpha1.LastGoodName(other, "some")), own+"-last-good-*")
	must(e.T, c.Create(e.Ctx(), named(v1alpha1.LastGoodName(own, "some")), client.DryRunAll))
}
