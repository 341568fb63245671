package inject_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

func TestWebhooksEveryEntry(t *testing.T) {
	inj := injector("main", "blue", func(s *v1alpha1.InjectorSpec) {
		s.IsDefault = new(true)
		s.Policy = v1alpha1.PolicyOptOut
		s.ExcludedNamespaces = []string{"monitoring"}
	})
	configs := inject.Webhooks(&inj, inj.Names(), operator(), []byte("bundle"))
	want := map[string][]string{
		"pillion-injector-blue":    {"rev.namespace", "rev.object"},
		"pillion-injector-default": {"rev.namespace", "rev.object", "namespace", "object", "auto"},
	}
	for _, c := range configs {
		var entries []string
		for _, w := range c.Webhooks {
			entries = append(entries, w.Name[:len(w.Name)-len(".injector.pillion.dev")])
			checkEntry(t, &w)
		}
		if !slices.Equal(entries, want[c.Name]) {
			t.Errorf("%s has entries %v, want %v", c.Name, entries, want[c.Name])
		}
		if c.Labels["istio.io/rev"] != "blue" || c.Labels["pillion.dev/injector"] != "main" {
			t.Errorf("%s has labels %v", c.Name, c.Labels)
		}
	}
	if len(configs) != len(want) {
		t.Errorf("%d configurations, want %d", len(configs), len(want))
	}
}

// checkEntry holds for every entry there can be: names it never matches, a caBundle, a path that says who is called.
func checkEntry(t *testing.T, w *admissionregistrationv1.MutatingWebhook) {
	t.Helper()
	for _, namespace := range []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage", "pillion-system", "monitoring"} {
		if !slices.ContainsFunc(w.NamespaceSelector.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
			return r.Key == "kubernetes.io/metadata.name" && r.Operator == metav1.LabelSelectorOpNotIn && slices.Contains(r.Values, namespace)
		}) {
			t.Errorf("entry %s can match namespace %s", w.Name, namespace)
		}
	}
	if string(w.ClientConfig.CABundle) != "bundle" {
		t.Errorf("entry %s has caBundle %q", w.Name, w.ClientConfig.CABundle)
	}
	entry := w.Name[:len(w.Name)-len(".injector.pillion.dev")]
	if path := *w.ClientConfig.Service.Path; path != "/inject/injector/main/entry/"+entry {
		t.Errorf("entry %s has path %s", w.Name, path)
	}
	if *w.SideEffects != admissionregistrationv1.SideEffectClassNoneOnDryRun || len(w.MatchConditions) != 3 {
		t.Errorf("entry %s: side effects %s, %d match conditions", w.Name, *w.SideEffects, len(w.MatchConditions))
	}
}

func TestWebhooksAreTheSameByteForByte(t *testing.T) {
	inj := injector("default", "default")
	render := func(names []string) string {
		text, err := json.Marshal(inject.Webhooks(&inj, names, operator(), []byte("bundle")))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if a, b := render([]string{"default", "prod", "a"}), render([]string{"a", "prod", "default"}); a != b {
		t.Errorf("the order of names changes the result:\n%s\n%s", a, b)
	}
}

func TestClaimsOldestWins(t *testing.T) {
	old, young, other := injector("b", "default"), injector("a", "default"), injector("c", "canary")
	old.CreationTimestamp = metav1.NewTime(time.Unix(100, 0))
	young.CreationTimestamp = metav1.NewTime(time.Unix(200, 0))
	owned, refused := inject.Claims([]v1alpha1.Injector{young, old, other})
	if want := map[string]string{"default": "b", "canary": "c"}; !reflect.DeepEqual(owned, want) {
		t.Errorf("owned = %v, want %v", owned, want)
	}
	if want := []inject.Refused{{Injector: "a", Name: "default", Owner: "b"}}; !reflect.DeepEqual(refused, want) {
		t.Errorf("refused = %v, want %v", refused, want)
	}
}

func TestWebhooksFollowTheInjector(t *testing.T) {
	for _, row := range []struct {
		name  string
		edit  func(*v1alpha1.InjectorSpec)
		check func(*admissionregistrationv1.MutatingWebhook) string
		want  string
	}{
		{"reinvocation", func(s *v1alpha1.InjectorSpec) { s.Webhook.ReinvocationPolicy = "Never" },
			func(w *admissionregistrationv1.MutatingWebhook) string { return string(*w.ReinvocationPolicy) }, "Never"},
		{"reinvocation by default", func(*v1alpha1.InjectorSpec) {},
			func(w *admissionregistrationv1.MutatingWebhook) string { return string(*w.ReinvocationPolicy) }, "IfNeeded"},
		{"no match conditions", func(s *v1alpha1.InjectorSpec) { s.Webhook.MatchConditions = new(false) },
			func(w *admissionregistrationv1.MutatingWebhook) string { return fmt.Sprint(w.MatchConditions) }, "[]"},
		{"failure policy and timeout", func(s *v1alpha1.InjectorSpec) { s.Webhook.FailurePolicy, s.Webhook.TimeoutSeconds = "Ignore", 9 },
			func(w *admissionregistrationv1.MutatingWebhook) string {
				return fmt.Sprint(*w.FailurePolicy, *w.TimeoutSeconds)
			}, "Ignore9"},
		{"operator's service", func(*v1alpha1.InjectorSpec) {}, address, "pillion.pillion-system:443/inject/injector/main/entry/rev.namespace"},
		{"another service", func(s *v1alpha1.InjectorSpec) {
			s.Webhook.Service = &v1alpha1.WebhookService{Name: "proxy", Namespace: "edge", Port: 8443}
		}, address, "proxy.edge:8443/inject/injector/main/entry/rev.namespace"},
		{"url", func(s *v1alpha1.InjectorSpec) { s.Webhook.URL = "https://pillion.example:8443/a/" },
			address, "https://pillion.example:8443/a/inject/injector/main/entry/rev.namespace"},
	} {
		inj := injector("main", "blue", row.edit)
		entry := &inject.Webhooks(&inj, []string{"blue"}, operator(), []byte("bundle"))[0].Webhooks[0]
		if got := row.check(entry); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

func address(w *admissionregistrationv1.MutatingWebhook) string {
	if w.ClientConfig.URL != nil {
		return *w.ClientConfig.URL
	}
	s := w.ClientConfig.Service
	return fmt.Sprintf("%s.%s:%d%s", s.Name, s.Namespace, *s.Port, *s.Path)
}

// TestTagMovesByOneUpdateOfOneObject: everything but the tag's own object stays the same byte for byte.
func TestTagMovesByOneUpdateOfOneObject(t *testing.T) {
	render := func(tagged string) map[string]string {
		all := map[string]string{}
		for _, name := range []string{"v1", "v2"} {
			inj := injector(name, name, func(s *v1alpha1.InjectorSpec) {
				if s.Tags = nil; name == tagged {
					s.Tags = []string{"prod"}
				}
			})
			for _, c := range inject.Webhooks(&inj, inj.Names(), operator(), []byte("bundle")) {
				all[c.Name] = mustJSON(c)
			}
		}
		return all
	}
	before, after := render("v1"), render("v2")
	if got, want := slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)); !slices.Equal(got, want) || len(want) != 3 {
		t.Fatalf("objects %v became %v: none may come or go", got, want)
	}
	for name := range before {
		if moved := before[name] != after[name]; moved != (name == "pillion-injector-prod") {
			t.Errorf("%s changed: %t", name, moved)
		}
	}
	if c := after["pillion-injector-prod"]; !strings.Contains(c, `"istio.io/tag":"prod"`) || !strings.Contains(c, `"istio.io/rev":"v2"`) || !strings.Contains(c, `"pillion.dev/injector":"v2"`) {
		t.Errorf("the tag's labels don't say whose it is: %s", c)
	}
}

func TestNoBundleIsNoField(t *testing.T) {
	inj := injector("main", "blue")
	for _, bundle := range [][]byte{nil, {}} {
		if text := mustJSON(inject.Webhooks(&inj, []string{"blue"}, operator(), bundle)); strings.Contains(text, "caBundle") {
			t.Errorf("an empty caBundle is written: %s", text)
		}
	}
}

func TestClaimsOfTags(t *testing.T) {
	tags := func(tags ...string) func(*v1alpha1.InjectorSpec) {
		return func(s *v1alpha1.InjectorSpec) { s.Tags = tags }
	}
	a, b, c := injector("a", "v1", tags("prod", "v2")), injector("b", "v2", tags("prod", "next")), injector("c", "v3", tags("next"), func(s *v1alpha1.InjectorSpec) { s.IsDefault = new(true) })
	owned, refused := inject.Claims([]v1alpha1.Injector{c, b, a})
	if want := map[string]string{"v1": "a", "prod": "a", "v2": "a", "next": "b", "v3": "c", "default": "c"}; !reflect.DeepEqual(owned, want) {
		t.Errorf("owned = %v, want %v", owned, want)
	}
	want := []inject.Refused{{Injector: "b", Name: "v2", Owner: "a"}, {Injector: "b", Name: "prod", Owner: "a"}, {Injector: "c", Name: "next", Owner: "b"}}
	if !reflect.DeepEqual(refused, want) {
		t.Errorf("refused = %v, want %v", refused, want)
	}
}
