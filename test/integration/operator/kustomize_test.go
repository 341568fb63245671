package operator

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// build is `kubectl kustomize`.
func build(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(configDir, folder))
	if err != nil {
		t.Fatalf("kustomize build config/%s: %v", folder, err)
	}
	var all []*unstructured.Unstructured
	for _, r := range resources.Resources() {
		content, err := r.Map()
		must(t, err)
		all = append(all, &unstructured.Unstructured{Object: content})
	}
	return all
}

func TestEveryObjectOfConfigApplies(t *testing.T) {
	e := newEnv(t)
	e.operatorNamespace(t)
	for _, folder := range []string{"default", "overlays/test", "overlays/watchdog", "samples"} {
		for _, object := range build(t, folder) {
			err := e.client.Apply(e.ctx(), client.ApplyConfigurationFromUnstructured(object),
				client.DryRunAll, client.ForceOwnership, client.FieldOwner("test"))
			if err != nil {
				t.Errorf("config/%s: %s %s: %v", folder, object.GetKind(), object.GetName(), err)
			}
		}
	}
}

// operatorNamespace makes pillion-system as config/default has it, which its pods have to pass.
func (e *env) operatorNamespace(t *testing.T) {
	t.Helper()
	for _, object := range build(t, "default") {
		if object.GetKind() == "Namespace" {
			must(t, client.IgnoreAlreadyExists(e.client.Create(e.ctx(), object)))
			return
		}
	}
	t.Fatal("config/default has no Namespace")
}

func TestOperatorPodsPassPodSecurityAndPriority(t *testing.T) {
	e := newEnv(t)
	e.operatorNamespace(t)
	deployment := deployment(t, "default")
	p := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
	p.Namespace, p.GenerateName = "pillion-system", "pillion-"
	must(t, e.client.Create(e.ctx(), p, client.DryRunAll))
	if p.Spec.Priority == nil || *p.Spec.Priority < 1_000_000_000 {
		t.Errorf("priority is %v, want the cluster's critical one", p.Spec.Priority)
	}
	privileged := p.DeepCopy()
	privileged.ResourceVersion, privileged.Spec.Containers[0].SecurityContext.Privileged = "", new(true)
	privileged.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
	if err := e.client.Create(e.ctx(), privileged, client.DryRunAll); !apierrors.IsForbidden(err) {
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
	e.operatorNamespace(t)
	e.namespace = "pillion-system"
	e.permissions("default")
	t.Cleanup(e.emptyNamespace)
	kubeconfig := e.serviceAccountKubeconfig("pillion")
	r := e.start("a", "--kubeconfig="+kubeconfig, "--create-default-injector")
	e.ready(r)
	e.condition("default", "WebhooksReady", metav1.ConditionTrue, "Applied")
	e.updateInjector("default", useURL(e))
	e.serving("default")
	e.injected(e.meshed())
	live, err := e.configuration(defaultConfiguration)
	must(t, err)
	must(t, e.client.Delete(e.ctx(), live.DeepCopy()))
	e.same("deleted", live)
	e.event("WebhookRepaired", "somebody had deleted it")
	canary := e.injector(canaryName)
	e.serving("canary")
	must(t, e.client.Delete(e.ctx(), canary))
	e.gone("pillion-injector-canary")
	if r.log.has("is forbidden") || r.log.has("cannot") {
		t.Errorf("something was forbidden: %s", r.log.tail(20))
	}
	e.policyHolds(kubeconfig)
}

// permissions makes the ServiceAccounts of a folder of config, their RBAC and the admission policies.
func (e *env) permissions(folder string) {
	e.t.Helper()
	for _, object := range build(e.t, folder) {
		switch object.GetKind() {
		case "ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
			must(e.t, e.client.Apply(e.ctx(), client.ApplyConfigurationFromUnstructured(object), client.ForceOwnership, client.FieldOwner("test")))
			e.t.Cleanup(func() { _ = e.client.Delete(context.Background(), object) })
		}
	}
}

// policyHolds tries what RBAC allows the operator and the policy doesn't.
func (e *env) policyHolds(kubeconfig string) {
	e.t.Helper()
	c, err := client.New(config(e.t, kubeconfig), client.Options{Scheme: e.client.Scheme()})
	must(e.t, err)
	if err := c.Get(e.ctx(), client.ObjectKey{Namespace: e.namespace, Name: "another"}, &corev1.Secret{}); !apierrors.IsForbidden(err) {
		e.t.Errorf("reading another Secret: %v, want Forbidden", err)
	}
	e.refused(c, webhook(func(w *admissionv1.MutatingWebhookConfiguration) { w.Name = "somebody-elses" }), "named pillion-*")
	e.refused(c, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "another"}}, "pillion-last-good-*")
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
