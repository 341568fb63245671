package operator

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
)

// webhook is a configuration as the operator in namespace mesh writes it, but for change.
func webhook(change func(*admissionv1.MutatingWebhookConfiguration)) *admissionv1.MutatingWebhookConfiguration {
	c := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pillion-injector-x"}, Webhooks: []admissionv1.MutatingWebhook{{
		Name: "x.injector.pillion.dev", SideEffects: new(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "mesh", Name: "pillion"}},
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}}}}}
	change(c)
	return c
}

// validating is the other kind, likewise.
func validating(change func(*admissionv1.ValidatingWebhook)) *admissionv1.ValidatingWebhookConfiguration {
	w := admissionv1.ValidatingWebhook{Name: "x.validation.pillion.dev", SideEffects: new(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		FailurePolicy: new(admissionv1.Ignore), ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "mesh", Name: "pillion"}},
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
			Rule: admissionv1.Rule{APIGroups: []string{"pillion.dev"}, APIVersions: []string{"v1alpha1"}, Resources: []string{"injectors"}}}}}
	change(&w)
	return &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "pillion-x"}, Webhooks: []admissionv1.ValidatingWebhook{w}}
}

// probing is the configuration of the serving certificate's probe as the operator in namespace mesh writes it, likewise.
func probing(change func(*admissionv1.MutatingWebhook)) *admissionv1.MutatingWebhookConfiguration {
	c := probe.Configuration(probe.Target{Service: "pillion", Namespace: "mesh", Port: 443}, nil)
	change(&c.Webhooks[0])
	return c
}

// TestPolicyHoldsInAnyNamespace builds config/default for another namespace, as an overlay with one line does, and acts
// as the ServiceAccount in it, with all permissions RBAC could give.
func TestPolicyHoldsInAnyNamespace(t *testing.T) {
	e := newEnv(t)
	var operator string
	for _, object := range build(t, overlay(t, "namespace: mesh\n")) {
		switch object.GetKind() {
		case "ServiceAccount":
			operator = "system:serviceaccount:" + object.GetNamespace() + ":" + object.GetName()
		case "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
			must(t, e.Client.Apply(e.Ctx(), client.ApplyConfigurationFromUnstructured(object), client.ForceOwnership, client.FieldOwner("test")))
			t.Cleanup(func() { _ = e.Client.Delete(context.Background(), object) })
		}
	}
	as := rest.CopyConfig(e.Cluster.Config)
	as.Impersonate = rest.ImpersonationConfig{UserName: operator, Groups: []string{"system:masters"}}
	c, err := client.New(as, client.Options{Scheme: e.Client.Scheme()})
	must(t, err)
	rule := func(change func(*admissionv1.RuleWithOperations)) func(*admissionv1.MutatingWebhookConfiguration) {
		return func(w *admissionv1.MutatingWebhookConfiguration) { change(&w.Webhooks[0].Rules[0]) }
	}
	service := func(change func(*admissionv1.ServiceReference)) func(*admissionv1.MutatingWebhookConfiguration) {
		return func(w *admissionv1.MutatingWebhookConfiguration) { change(w.Webhooks[0].ClientConfig.Service) }
	}
	for _, bad := range []struct {
		words  string
		change func(*admissionv1.MutatingWebhookConfiguration)
	}{
		{"named pillion-*", func(w *admissionv1.MutatingWebhookConfiguration) { w.Name = "somebody-elses" }},
		{"end in .pillion.dev", func(w *admissionv1.MutatingWebhookConfiguration) { w.Webhooks[0].Name = "x.example.com" }},
		{"creation of pods", rule(func(r *admissionv1.RuleWithOperations) { r.Resources = []string{"secrets"} })},
		{"creation of pods", rule(func(r *admissionv1.RuleWithOperations) { r.Resources = []string{"pods", "pods/exec"} })},
		{"creation of pods", rule(func(r *admissionv1.RuleWithOperations) { r.APIGroups = []string{"*"} })},
		{"creation of pods", rule(func(r *admissionv1.RuleWithOperations) { r.Operations = append(r.Operations, admissionv1.Update) })},
		{"its own Service", service(func(s *admissionv1.ServiceReference) { s.Namespace = "pillion-system" })},
		{"its own Service", service(func(s *admissionv1.ServiceReference) { s.Name = "another" })},
	} {
		e.refused(c, webhook(bad.change), bad.words)
	}
	e.probeOnly(c)
	for _, bad := range []func(*admissionv1.ValidatingWebhook){
		func(w *admissionv1.ValidatingWebhook) { w.FailurePolicy = new(admissionv1.Fail) },
		func(w *admissionv1.ValidatingWebhook) { w.Rules[0].Resources = []string{"*"} },
		func(w *admissionv1.ValidatingWebhook) { w.Rules[0].APIGroups = []string{""} },
		func(w *admissionv1.ValidatingWebhook) {
			w.Rules[0].Operations = []admissionv1.OperationType{admissionv1.Delete}
		},
	} {
		e.refused(c, validating(bad), "for Injectors, of which failure is ignored")
	}
	e.refused(c, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: "another"}}, "pillion-last-good-*")
	for _, good := range []client.Object{
		webhook(func(*admissionv1.MutatingWebhookConfiguration) {}),
		validating(func(*admissionv1.ValidatingWebhook) {}),
		probing(func(*admissionv1.MutatingWebhook) {}),
		probing(func(w *admissionv1.MutatingWebhook) {
			w.ClientConfig = admissionv1.WebhookClientConfig{URL: new("https://localhost/probe")}
		}),
		webhook(func(w *admissionv1.MutatingWebhookConfiguration) {
			w.Webhooks[0].ClientConfig = admissionv1.WebhookClientConfig{URL: new("https://127.0.0.1/")}
		}),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: "pillion-last-good-default"}},
	} {
		must(t, c.Create(e.Ctx(), good, client.DryRunAll))
	}
	e.othersEntries(c)
	must(t, e.Client.Create(e.Ctx(), webhook(func(w *admissionv1.MutatingWebhookConfiguration) { w.Name = "not-the-operators" }), client.DryRunAll))
}

// probeOnly checks that the probe's configuration can't be made for anything else, nor another for what it is for.
func (e *env) probeOnly(c client.Client) {
	e.T.Helper()
	rule := func(change func(*admissionv1.RuleWithOperations)) func(*admissionv1.MutatingWebhook) {
		return func(w *admissionv1.MutatingWebhook) { change(&w.Rules[0]) }
	}
	for what, bad := range map[string]func(*admissionv1.MutatingWebhook){
		"pods": rule(func(r *admissionv1.RuleWithOperations) {
			r.APIGroups, r.Resources = []string{""}, []string{"pods"}
		}),
		"other resources":  rule(func(r *admissionv1.RuleWithOperations) { r.Resources = []string{"leases", "leasecandidates"} }),
		"any group":        rule(func(r *admissionv1.RuleWithOperations) { r.APIGroups = []string{"*"} }),
		"other operations": rule(func(r *admissionv1.RuleWithOperations) { r.Operations = append(r.Operations, admissionv1.Update) }),
		"another namespace": func(w *admissionv1.MutatingWebhook) {
			w.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] = "kube-node-lease"
		},
		"all namespaces": func(w *admissionv1.MutatingWebhook) { w.NamespaceSelector = nil },
		"all Leases":     func(w *admissionv1.MutatingWebhook) { w.ObjectSelector = nil },
		"all but probes": func(w *admissionv1.MutatingWebhook) {
			w.ObjectSelector.MatchExpressions[0].Operator = metav1.LabelSelectorOpDoesNotExist
		},
		"another name": func(w *admissionv1.MutatingWebhook) { w.Name = "x.pillion.dev" },
	} {
		e.T.Log("pillion-probe for " + what)
		e.refused(c, probing(bad), "pillion-probe for the creation of Leases in its own namespace")
	}
	for _, bad := range []func(*admissionv1.ServiceReference){
		func(s *admissionv1.ServiceReference) { s.Name = "pillion" },
		func(s *admissionv1.ServiceReference) { s.Namespace = "pillion-system" },
	} {
		e.refused(c, probing(func(w *admissionv1.MutatingWebhook) { bad(w.ClientConfig.Service) }), "its own Service")
	}
	renamed := probing(func(w *admissionv1.MutatingWebhook) { w.ClientConfig.Service.Name = "pillion" })
	renamed.Name = "pillion-probe2"
	e.refused(c, renamed, "creation of pods")
	e.refused(c, webhook(func(w *admissionv1.MutatingWebhookConfiguration) {
		w.Webhooks[0].ClientConfig.Service.Name = "pillion-probe"
	}), "its own Service")
	e.refused(c, webhook(func(w *admissionv1.MutatingWebhookConfiguration) { w.Name = "pillion-probe" }), "pillion-probe for the creation of Leases")
}

// othersEntries checks what the operator may do to a configuration that a chart wrote, with entries it couldn't write
// itself: nothing but change a caBundle.
func (e *env) othersEntries(c client.Client) {
	e.T.Helper()
	chart := webhook(func(w *admissionv1.MutatingWebhookConfiguration) {
		extra := w.Webhooks[0].DeepCopy()
		extra.Name, extra.ClientConfig.Service.Name, extra.Rules[0].Resources = "x.example.com", "another", []string{"secrets"}
		w.Webhooks = append(w.Webhooks, *extra)
	})
	must(e.T, e.Client.Create(e.Ctx(), chart))
	e.T.Cleanup(func() { _ = e.Client.Delete(context.Background(), chart) })
	update := func(change func(ours, extra *admissionv1.MutatingWebhook)) error {
		next := chart.DeepCopy()
		change(&next.Webhooks[0], &next.Webhooks[1])
		return c.Update(e.Ctx(), next, client.DryRunAll)
	}
	must(e.T, update(func(ours, extra *admissionv1.MutatingWebhook) {
		ours.ClientConfig.CABundle, extra.ClientConfig.CABundle = otherCA(e.T), otherCA(e.T)
		ours.FailurePolicy = new(admissionv1.Ignore)
	}))
	for what, change := range map[string]func(ours, extra *admissionv1.MutatingWebhook){
		"our Service":       func(ours, _ *admissionv1.MutatingWebhook) { ours.ClientConfig.Service.Name = "another" },
		"their rules":       func(_, extra *admissionv1.MutatingWebhook) { extra.Rules[0].Resources = []string{"*"} },
		"their name":        func(_, extra *admissionv1.MutatingWebhook) { extra.Name = "y.example.com" },
		"their Service":     func(_, extra *admissionv1.MutatingWebhook) { extra.ClientConfig.Service.Namespace = "elsewhere" },
		"whether they fail": func(_, extra *admissionv1.MutatingWebhook) { extra.FailurePolicy = new(admissionv1.Ignore) },
		"what they see": func(_, extra *admissionv1.MutatingWebhook) {
			extra.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		},
	} {
		if err := update(change); err == nil || !strings.Contains(err.Error(), "Pillion's operator may only write webhooks") {
			e.T.Errorf("a change of %s in a chart's configuration isn't refused: %v", what, err)
		}
	}
}

// overlay is a folder, relative to config, of a kustomization of config/default with more lines.
func overlay(t *testing.T, lines string) string {
	t.Helper()
	config, err := filepath.Abs(configDir)
	must(t, err)
	folder, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	up, err := filepath.Rel(folder, filepath.Join(config, "default"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte("resources: ["+up+"]\n"+lines), 0o600))
	down, err := filepath.Rel(config, folder)
	must(t, err)
	return down
}

// refused waits until the operator's policy keeps an object from being created: policies take a moment to arrive.
func (e *env) refused(c client.Client, object client.Object, words string) {
	e.T.Helper()
	e.Eventually(fmt.Sprintf("%T %s is refused (%s)", object, object.GetName(), words), func() error {
		made, _ := object.DeepCopyObject().(client.Object)
		err := c.Create(e.Ctx(), made, client.DryRunAll)
		if err == nil || !containsAll(err.Error(), []string{"Pillion's operator may only write", words}) {
			return errorf("creation isn't refused so: %v", err)
		}
		return nil
	})
}

// warnings are what a client is told.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

// take returns what came since the last call.
func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.text
	w.text = nil
	return text
}

// warned is a client that keeps its warnings.
func (e *env) warned() (client.Client, *warnings) {
	e.T.Helper()
	told := &warnings{}
	config := rest.CopyConfig(e.Cluster.Config)
	config.WarningHandler = told
	c, err := client.New(config, client.Options{Scheme: e.Client.Scheme()})
	must(e.T, err)
	return c, told
}

func TestPodsThatNeverReachUsAreWarnedOf(t *testing.T) {
	e := newEnv(t)
	for _, object := range build(t, "default") {
		if object.GetName() == "pillion-no-sidecar" {
			must(t, e.Client.Apply(e.Ctx(), client.ApplyConfigurationFromUnstructured(object), client.ForceOwnership, client.FieldOwner("test")))
			t.Cleanup(func() { _ = e.Client.Delete(context.Background(), object) })
		}
	}
	c, told := e.warned()
	plain := e.Cluster.Namespace(t)
	hostNetwork := func(p *corev1.Pod) { p.Spec.HostNetwork = true }
	windows := func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }
	windowsNode := func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"kubernetes.io/os": "windows"} }
	for _, step := range []struct {
		name   string
		change []func(*corev1.Pod)
		want   string
	}{
		{"host network", []func(*corev1.Pod){label("true"), hostNetwork}, "host-network"},
		{"Windows", []func(*corev1.Pod){label("enabled"), windows}, "windows"},
		{"Windows by node", []func(*corev1.Pod){label("true"), windowsNode}, "windows"},
		{"nobody asked", []func(*corev1.Pod){hostNetwork, windowsNode}, ""},
		{"no is no", []func(*corev1.Pod){label("false"), hostNetwork}, ""},
		{"an ordinary pod", []func(*corev1.Pod){label("true")}, ""},
	} {
		e.Eventually(step.name, func() error { // policies take a moment to arrive
			p := pod(plain)
			for _, change := range step.change {
				change(p)
			}
			told.take()
			if err := c.Create(e.Ctx(), p, client.DryRunAll); err != nil {
				t.Fatalf("%s: a warning must refuse nothing: %v", step.name, err)
			}
			ours := slices.DeleteFunc(told.take(), func(w string) bool { return !strings.Contains(w, "no sidecar") })
			if want := step.want != ""; len(ours) > 0 != want || want && !strings.Contains(ours[0], "("+step.want+")") {
				return errorf("warnings %q, want %q", ours, step.want)
			}
			return nil
		})
	}
}

func TestWhoIsSkippedOrDeniedIsTold(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	e.Ready(e.Start("a"))
	e.Serving("default")
	meshed := e.Meshed()
	e.Injected(meshed)
	c, told := e.warned()

	foreign := owned(pod(meshed), "foreign")
	label("true")(foreign)
	foreign.Spec.Containers = append(foreign.Spec.Containers, corev1.Container{Name: "linkerd-proxy", Image: "proxy:1"})
	must(t, c.Create(e.Ctx(), foreign))
	if hasProxy(foreign) {
		t.Errorf("containers %v", names(foreign))
	}
	if seen := told.take(); !slices.ContainsFunc(seen, func(w string) bool { return strings.Contains(w, "no sidecar (foreign-sidecar)") }) {
		t.Errorf("warnings %q say nothing of it", seen)
	}
	e.EventFor(meshed, "ReplicaSet", "foreign", "SidecarSkipped", "foreign-sidecar")

	denied := owned(pod(meshed), "denied")
	denied.Annotations = map[string]string{"traffic.sidecar.istio.io/excludeOutboundPorts": "80,x"}
	err := c.Create(e.Ctx(), denied)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "excludeOutboundPorts") {
		t.Errorf("error %v, want Invalid that names the annotation", err)
	}
	e.EventFor(meshed, "ReplicaSet", "denied", "SidecarDenied", "excludeOutboundPorts")
}

// owned makes a pod one of a ReplicaSet's.
func owned(p *corev1.Pod, name string) *corev1.Pod {
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: name,
		UID: "0b9c6b1e-5f0e-4b57-9d0a-3c1f8f1c2a11", Controller: new(true)}}
	return p
}
