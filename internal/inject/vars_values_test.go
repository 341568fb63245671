package inject_test

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// TestValues: spec.values keep their types in templates, and what doesn't fit is found when the Injector is compiled.
func TestValues(t *testing.T) {
	template := func(inline string) func(*v1alpha1.InjectorSpec) {
		return func(s *v1alpha1.InjectorSpec) {
			s.Values = &runtime.RawExtension{Raw: []byte(`{"team":"payments","grace":7,"on":true,"list":["a","b"],"env":[{"name":"X","value":"1"}]}`)}
			s.Templates = []v1alpha1.Template{{Name: "extra", Inline: inline}}
			s.DefaultTemplates = []string{"sidecar", "extra"}
		}
	}
	set := setOf(t, injector("default", "default", template(`
metadata: {labels: {team: "${values.team}", who: "x-${values.team}-${values.grace}", none: "${values[?'none'].orValue('no')}"}}
spec:
  terminationGracePeriodSeconds: ${values.grace}
  containers: [{name: istio-proxy, env: ["${values.env}"], tty: "${values.on}", command: "${values.list}"}]
`)))
	result := injectAnnotated(set, nil)
	pod := podOf(t, &result)
	if l := pod.Labels; l["team"] != "payments" || l["who"] != "x-payments-7" || l["none"] != "no" || *pod.Spec.TerminationGracePeriodSeconds != 7 {
		t.Errorf("labels %v, grace %d", l, *pod.Spec.TerminationGracePeriodSeconds)
	}
	if c := proxyOf(t, &result); envOf(c, "X") != "1" || !c.TTY || !slices.Equal(c.Command, []string{"a", "b"}) {
		t.Errorf("X=%s, tty %v, command %v", envOf(c, "X"), c.TTY, c.Command)
	}
	for _, row := range []struct{ inline, want string }{
		{"spec: {terminationGracePeriodSeconds: '${values.team}'}", `spec.terminationGracePeriodSeconds wants integer, this is "payments"`},
		{"metadata: {labels: {a: '${values.grace}'}}", "metadata.labels.a wants string, this is 7"},
		{"metadata: {labels: {a: 'x${values.list}'}}", `${values.list} is no text but ["a","b"]`},
		{"metadata: {labels: {a: '${values.nope}'}}", "no such key: nope"},
		{"spec: {containers: [{name: istio-proxy, env: ['${values.list}']}]}", "wants mapping"},
	} {
		inj := injector("default", "default", template(row.inline))
		if _, err := inject.Compile(&inj, operator()); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.inline, err)
		}
	}
}

// TestHashCoversWhatChangesPods: else stale pods would pass for fresh ones.
func TestHashCoversWhatChangesPods(t *testing.T) {
	hash := func(edit func(*v1alpha1.InjectorSpec)) string {
		inj := injector("default", "default", edit)
		p, err := inject.Compile(&inj, operator())
		if err != nil {
			t.Fatal(err)
		}
		return p.Hash()
	}
	seen := map[string]string{hash(func(*v1alpha1.InjectorSpec) {}): "the default"}
	for name, edit := range map[string]func(*v1alpha1.InjectorSpec){
		"proxy":       func(s *v1alpha1.InjectorSpec) { s.Proxy.HoldApplication = true },
		"image":       func(s *v1alpha1.InjectorSpec) { s.Proxy.Image = "x:1" },
		"capture":     func(s *v1alpha1.InjectorSpec) { s.Capture.ExcludeInterfaces = "net1" },
		"probes":      func(s *v1alpha1.InjectorSpec) { s.Probes.Rewrite = new(false) },
		"prometheus":  func(s *v1alpha1.InjectorSpec) { s.Prometheus.Merge = new(false) },
		"values":      func(s *v1alpha1.InjectorSpec) { s.Values = &runtime.RawExtension{Raw: []byte(`{"a":1}`)} },
		"pullSecrets": func(s *v1alpha1.InjectorSpec) { s.ImagePullSecrets = []v1alpha1.PullSecret{{Name: "a"}} },
		"template":    func(s *v1alpha1.InjectorSpec) { s.Templates = []v1alpha1.Template{{Name: "x", Inline: "spec: {}"}} },
		"aliases": func(s *v1alpha1.InjectorSpec) {
			s.Aliases = []v1alpha1.Alias{{Name: "x", Templates: []string{"sidecar"}}}
		},
	} {
		if other, same := seen[hash(edit)]; same {
			t.Errorf("%s: the same hash as %s", name, other)
		}
		seen[hash(edit)] = name
	}
	if n := hash(func(s *v1alpha1.InjectorSpec) { s.NativeSidecar = v1alpha1.NativeAlways }); seen[n] != "the default" {
		t.Error("native mode changes the hash")
	}
}
