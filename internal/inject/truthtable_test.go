package inject_test

import (
	"encoding/json"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// TestTruthTable holds what Decide says, with and without being told which entry matched, against what users read.
// TestAtMostOneEntryMatches does so for the selectors.
func TestTruthTable(t *testing.T) {
	for _, policy := range []v1alpha1.Policy{v1alpha1.PolicyOptIn, v1alpha1.PolicyOptOut, v1alpha1.PolicyExplicit} {
		simple, tagged, listed := injecttest.Simple(policy), injecttest.Tagged(policy), injecttest.Listed(policy)
		for _, table := range []struct {
			name  string
			world injecttest.World
			rows  []injecttest.Row
			count int
		}{
			{"simple", simple, simple.Rows(), 5 * 5 * 7 * 5},
			{"tagged", tagged, tagged.EachMeaning(), 5 * 9 * 4 * 9},
			{"listed", listed, listed.ListedRows(), 5 * 3 * 2 * 4 * 2},
		} {
			if len(table.rows) != table.count {
				t.Fatalf("%s: the table has %d rows, want %d", table.name, len(table.rows), table.count)
			}
			set := setOf(t, table.world.Injectors...)
			for i := range table.rows {
				checkRow(t, set, &table.rows[i])
			}
		}
	}
}

func checkRow(t *testing.T, set *inject.Set, row *injecttest.Row) {
	t.Helper()
	ns := inject.Namespace{Name: "shop", Labels: row.NamespaceLabels()}
	pod, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"name": "p", "labels": row.PodLabels()},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "app"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := set.Decide(inject.Request{Namespace: ns, Pod: pod})
	called := injecttest.None
	if d.Entry != "" {
		called = d.Injector
	}
	if injected := d.Outcome == inject.OutcomeInject; injected != row.Injected || called != row.Called {
		t.Errorf("%v %v: Decide says %s by %q (%s), the table says %t by %q", ns.Labels, row.PodLabels(), d.Outcome, called, d.Reason(), row.Injected, row.Called)
	}
	if d.Entry != "" {
		told := set.Decide(inject.Request{Namespace: ns, Pod: pod, Injector: d.Injector, Entry: d.Entry})
		if told.Outcome != d.Outcome || told.Reason() != d.Reason() {
			t.Errorf("%v %v: told of the entry, Decide says %s, else %s", ns.Labels, row.PodLabels(), told.Reason(), d.Reason())
		}
	}
	if d.Reason() == "" || d.Message() == "" {
		t.Errorf("%v %v: no reason or sentence: %+v", ns.Labels, row.PodLabels(), d)
	}
}
