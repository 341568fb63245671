package inject_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// choosing is the typical pod with these templates chosen.
func choosing(templates string) string {
	return strings.Replace(injecttest.TypicalPod(1), `"annotations":{`, `"annotations":{"inject.istio.io/templates":"`+templates+`",`, 1)
}

// labelled is a template that only sets a label.
func labelled(name string) v1alpha1.Template {
	return v1alpha1.Template{Name: name, Inline: "metadata: {labels: {last: " + name + ", " + name + ": here}}"}
}

func withAliases(s *v1alpha1.InjectorSpec) {
	s.Templates = []v1alpha1.Template{labelled("a"), labelled("b"), labelled("c")}
	s.Aliases = []v1alpha1.Alias{{Name: "both", Templates: []string{"a", "b"}}, {Name: "full", Templates: []string{"sidecar", "b", "a"}}}
}

// TestChosenTemplates: in order, aliases looked up, each once; what is rendered is told.
func TestChosenTemplates(t *testing.T) {
	set := setOf(t, injector("default", "default", withAliases))
	for chosen, want := range map[string]string{
		"sidecar":             "sidecar",
		"a,b":                 "a b",
		"b, a":                "b a",
		"sidecar,both":        "sidecar a b",
		"full":                "sidecar b a",
		"full,both,c,sidecar": "sidecar b a c",
		"both,both,a":         "a b",
	} {
		result := injectTypical(set, choosing(chosen), false)
		if got := strings.Join(result.Templates, " "); got != want {
			t.Errorf("%s: %q, want %q (%s)", chosen, got, want, result.Message())
			continue
		}
		labels := podOf(t, &result).Labels
		for _, name := range []string{"a", "b", "c"} {
			if _, rendered := labels[name]; rendered != slices.Contains(result.Templates, name) {
				t.Errorf("%s: template %s rendered: %v", chosen, name, rendered)
			}
		}
		if last := result.Templates[len(result.Templates)-1]; last != "sidecar" && labels["last"] != last {
			t.Errorf("%s: the label is of %q, want the last template's", chosen, labels["last"])
		}
	}
}

// TestAliasAsDefault: defaultTemplates may name one.
func TestAliasAsDefault(t *testing.T) {
	set := setOf(t, injector("default", "default", withAliases, func(s *v1alpha1.InjectorSpec) { s.DefaultTemplates = []string{"full", "c"} }))
	result := injectTypical(set, injecttest.TypicalPod(1), false)
	if got := strings.Join(result.Templates, " "); got != "sidecar b a c" || podOf(t, &result).Labels["last"] != "c" {
		t.Errorf("templates %s, labels %v", got, podOf(t, &result).Labels)
	}
}

// TestUnknownTemplates are denied, with what may have been meant first.
func TestUnknownTemplates(t *testing.T) {
	many := func(s *v1alpha1.InjectorSpec) {
		for i := range 20 {
			s.Templates = append(s.Templates, labelled(fmt.Sprintf("t%d", i)))
		}
		s.Aliases = []v1alpha1.Alias{{Name: "one", Templates: []string{"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"}}, {Name: "two", Templates: []string{"t8", "t9", "t10", "t11", "t12", "t13", "t14", "t15"}}}
	}
	set := setOf(t, injector("default", "default", many))
	for chosen, want := range map[string]string{
		"sidcar":          `"sidcar" is no template of injector "default"; want one of sidecar, gateway, one, proxyless, t0, t1, t10, t11 or 17 others`,
		"sidecar,on":      `"on" is no template of injector "default"; want one of one, `,
		"one,two,sidecar": "these are 17 templates, once aliases are looked up; want at most 16",
		"${pod.name}":     `"${pod.name}" is no template of`,
	} {
		result := injectTypical(set, choosing(chosen), false)
		if result.Reason() != inject.ReasonTemplateUnknown || !strings.Contains(result.Message(), want) || result.Patch != nil {
			t.Errorf("%s: %s: %s\nwant %s", chosen, result.Reason(), result.Message(), want)
		}
	}
	if result := injectTypical(set, choosing("one,two"), false); result.Outcome != inject.OutcomeInject {
		t.Errorf("16 templates: %s: %s", result.Outcome, result.Message())
	}
}

// TestTemplateWithoutText: whoever compiles has to read the ConfigMap first.
func TestTemplateWithoutText(t *testing.T) {
	inj := injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		s.Templates = []v1alpha1.Template{{Name: "far", ConfigMapRef: &v1alpha1.ConfigMapKey{Name: "texts", Key: "far.yaml"}}}
	})
	_, err := inject.Compile(&inj, operator())
	var compile *inject.CompileError
	if !errors.As(err, &compile) || len(compile.Templates["far"]) != 1 || !strings.Contains(err.Error(), `template "far": its text is in key "far.yaml" of ConfigMap "texts"`) {
		t.Errorf("got %v", err)
	}
}

// TestTooManyDefaultTemplates are a fault of the Injector, not of each pod.
func TestTooManyDefaultTemplates(t *testing.T) {
	inj := injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		for i := range 17 {
			s.Templates = append(s.Templates, labelled(fmt.Sprintf("t%d", i)))
		}
		for i, alias := range []string{"x", "y", "z"} {
			a := v1alpha1.Alias{Name: alias}
			for n := i * 6; n < min(17, i*6+6); n++ {
				a.Templates = append(a.Templates, fmt.Sprintf("t%d", n))
			}
			s.Aliases = append(s.Aliases, a)
		}
		s.DefaultTemplates = []string{"x", "y", "z"}
	})
	if _, err := inject.Compile(&inj, operator()); err == nil || !strings.Contains(err.Error(), "defaultTemplates: these are 17 templates") {
		t.Errorf("got %v", err)
	}
}

const gatewayPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"gw","annotations":{"inject.istio.io/templates":"gateway"}},` +
	`"spec":{"containers":[{"name":"istio-proxy","image":"auto","ports":[{"containerPort":8443}]}]}}`

// TestGateway: the pod's own istio-proxy becomes a proxy; nothing is captured, and it is never an init container, since
// nothing else would be there.
func TestGateway(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, native := range []bool{false, true} {
		result := injectTypical(set, gatewayPod, native)
		spec := podOf(t, &result).Spec
		if len(spec.InitContainers) != 0 || len(spec.Containers) != 1 {
			t.Fatalf("native %v: %s", native, mustJSON(spec))
		}
		c := spec.Containers[0]
		if c.Image != "pillion/pillion-sidecar:dev" || c.Args[0] != "agent" || len(c.Ports) != 2 || c.RestartPolicy != nil || *c.SecurityContext.RunAsUser != 1337 {
			t.Errorf("native %v: %s", native, mustJSON(c))
		}
		if mode := variable(&c, "ISTIO_META_INTERCEPTION_MODE"); mode != "NONE" {
			t.Errorf("native %v: the agent is told of capture mode %q", native, mode)
		}
	}
}

// variable is an environment variable's value.
func variable(c *corev1.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// TestProxyless: the agent, no capture, and the application told of its bootstrap, unless it says otherwise itself.
func TestProxyless(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	own := strings.Replace(choosing("proxyless"), `"env":[`, `"env":[{"name":"GRPC_XDS_BOOTSTRAP","value":"/mine"},`, 1)
	for pod, want := range map[string]string{choosing("proxyless"): "/etc/istio/proxy/grpc-bootstrap.json", own: "/mine"} {
		result := injectTypical(set, pod, true)
		got := podOf(t, &result)
		app := got.Spec.Containers[0]
		if path := variable(&app, "GRPC_XDS_BOOTSTRAP"); path != want || len(got.Spec.Containers) != 1 {
			t.Errorf("the application is told %q, want %q: %s", path, want, mustJSON(got.Spec))
		}
		if len(got.Spec.InitContainers) != 1 || got.Spec.InitContainers[0].Name != "istio-proxy" {
			t.Errorf("init containers: %s", mustJSON(got.Spec.InitContainers))
		}
		if app.LivenessProbe.HTTPGet.Path != "/health" && result.Outcome == inject.OutcomeInject && len(app.VolumeMounts) != 7 {
			t.Errorf("the application: %s", mustJSON(app))
		}
		doc := uninjected(t, result.Pod())
		if plain(t, doc.JSON) != plain(t, []byte(pod)) {
			t.Errorf("taken out again:\n%s\nwant\n%s", plain(t, doc.JSON), plain(t, []byte(pod)))
		}
	}
}

// TestUIDWithoutCapture: where nothing is captured, an application may run as the proxy's user.
func TestUIDWithoutCapture(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	as := func(pod string) string {
		return strings.Replace(pod, `"securityContext":{}`, `"securityContext":{"runAsUser":1337}`, 1)
	}
	if result := injectTypical(set, as(choosing("proxyless")), false); result.Outcome != inject.OutcomeInject {
		t.Errorf("proxyless: %s", result.Message())
	}
	if result := injectTypical(set, as(choosing("sidecar,proxyless")), false); result.Reason() != inject.ReasonUIDCollision {
		t.Errorf("with the sidecar: %s: %s", result.Reason(), result.Message())
	}
}

// TestBuiltinsRenderForEveryPod: each as the default one, so that the test pods are tried on it.
func TestBuiltinsRenderForEveryPod(t *testing.T) {
	for _, name := range v1alpha1.BuiltinTemplates() {
		setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) { s.DefaultTemplates = []string{name} }))
	}
}
