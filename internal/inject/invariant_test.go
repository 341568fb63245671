package inject_test

import (
	"maps"
	"math/bits"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// TestAtMostOneEntryMatches: over all worlds of package injecttest and every combination of label values, the entry that
// matches is the one users read of, and there is never a second one. Worlds whose selectors are the same are looked at
// once.
func TestAtMostOneEntryMatches(t *testing.T) {
	worlds, combinations, seen := 0, 0, map[string]bool{}
	for world := range injecttest.AllWorlds() {
		worlds++
		configs := render(t, &world)
		key := selectorsOf(configs)
		if seen[key] {
			continue
		}
		seen[key] = true
		combinations += checkWorld(t, &world, configs)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d worlds, %d of them different, %d combinations of labels", worlds, len(seen), combinations)
	if worlds != 15+15*15+9*9*9 || len(seen) < 100 || combinations < 300_000 {
		t.Errorf("%d worlds, %d different, %d combinations: this would prove little", worlds, len(seen), combinations)
	}
}

// render makes the configurations of a world, and holds the Injectors' claims against who users say has which name.
func render(t *testing.T, w *injecttest.World) []admissionregistrationv1.MutatingWebhookConfiguration {
	t.Helper()
	owned, _ := inject.Claims(w.Injectors)
	if !maps.Equal(owned, w.Owners) {
		t.Fatalf("claims: %v, want %v", owned, w.Owners)
	}
	var configs []admissionregistrationv1.MutatingWebhookConfiguration
	for i := range w.Injectors {
		var names []string
		for _, name := range w.Names() {
			if owned[name] == w.Injectors[i].Name {
				names = append(names, name)
			}
		}
		configs = append(configs, inject.Webhooks(&w.Injectors[i], names, inject.Operator{Namespace: "pillion-system"}, nil)...)
	}
	return configs
}

func selectorsOf(configs []admissionregistrationv1.MutatingWebhookConfiguration) string {
	var key strings.Builder
	for i := range configs {
		for j := range configs[i].Webhooks {
			w := &configs[i].Webhooks[j]
			key.WriteString(configs[i].Labels["pillion.dev/injector"] + metav1.FormatLabelSelector(w.NamespaceSelector) + " " + metav1.FormatLabelSelector(w.ObjectSelector) + "\n")
		}
	}
	return key.String()
}

// checkWorld tries all rows. A namespace's labels and a pod's are looked at once each; a bit is an entry.
func checkWorld(t *testing.T, w *injecttest.World, configs []admissionregistrationv1.MutatingWebhookConfiguration) (combinations int) {
	t.Helper()
	var injectors []string
	var namespaces, pods []labels.Selector
	for i := range configs {
		for j := range configs[i].Webhooks {
			injectors = append(injectors, configs[i].Labels["pillion.dev/injector"])
			namespaces = append(namespaces, parse(t, configs[i].Webhooks[j].NamespaceSelector))
			pods = append(pods, parse(t, configs[i].Webhooks[j].ObjectSelector))
		}
	}
	inNamespace, inPod := masks{of: namespaces}, masks{of: pods}
	rows := w.Rows()
	for i := range rows {
		row := &rows[i]
		both := inNamespace.get(row.NamespaceInjection, row.NamespaceRevision, row.NamespaceLabels) & inPod.get(row.PodInject, row.PodRevision, row.PodLabels)
		called := injecttest.None
		if both != 0 {
			called = injectors[bits.TrailingZeros64(both)]
		}
		if bits.OnesCount64(both) > 1 || called != row.Called {
			t.Errorf("%v: namespace %v, pod %v: %d entries match, the first of Injector %q; the table says %q",
				w.Owners, row.NamespaceLabels(), row.PodLabels(), bits.OnesCount64(both), called, row.Called)
		}
	}
	return len(rows)
}

func parse(t *testing.T, s *metav1.LabelSelector) labels.Selector {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector
}

// masks are, by two labels, which of up to 64 selectors match. Rows share the values of their labels.
type masks struct {
	of   []labels.Selector
	done map[[2]*string]uint64
}

func (m *masks) get(one, two *string, all func() map[string]string) uint64 {
	key := [2]*string{one, two}
	if mask, known := m.done[key]; known {
		return mask
	}
	set := labels.Merge(all(), labels.Set{"kubernetes.io/metadata.name": "shop"})
	var mask uint64
	for i, selector := range m.of {
		if selector.Matches(set) {
			mask |= 1 << i
		}
	}
	if m.done == nil {
		m.done = map[[2]*string]uint64{}
	}
	m.done[key] = mask
	return mask
}
