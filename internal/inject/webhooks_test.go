package inject_test

import (
	"encoding/json"
	"reflect"
	"slices"
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
