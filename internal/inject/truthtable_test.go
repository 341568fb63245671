package inject_test

import (
	"encoding/json"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// TestTruthTable compares three answers over every combination of labels: what users read, what the rendered selectors
// match, and what Decide says with and without being told which entry matched. At most one entry ever matches.
func TestTruthTable(t *testing.T) {
	for _, policy := range []v1alpha1.Policy{v1alpha1.PolicyOptIn, v1alpha1.PolicyOptOut} {
		set := setOf(t, injecttest.Injectors(policy)...)
		rows := injecttest.TruthTable()
		if len(rows) != 875 {
			t.Fatalf("the table has %d rows, want 5·5·7·5", len(rows))
		}
		for i := range rows {
			want := rows[i].Want
			if policy == v1alpha1.PolicyOptOut {
				want = rows[i].WantOptOut
			}
			checkRow(t, set, &rows[i], want)
		}
	}
}

func checkRow(t *testing.T, set *inject.Set, row *injecttest.Row, want string) {
	t.Helper()
	ns := inject.Namespace{Name: "shop", Labels: row.NamespaceLabels()}
	matches := inject.Select(set.Webhooks(), ns, row.PodLabels())
	if len(matches) > 1 {
		t.Errorf("%v %v: %d entries match: %v", ns.Labels, row.PodLabels(), len(matches), matches)
		return
	}
	got := injecttest.None
	if len(matches) == 1 {
		got = matches[0].Injector
	}
	if got != want {
		t.Errorf("%v %v: selectors call %q, the table says %q", ns.Labels, row.PodLabels(), got, want)
	}
	pod, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"name": "p", "labels": row.PodLabels()},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "app"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := set.Decide(inject.Request{Namespace: ns, Pod: pod})
	if injected := d.Outcome == inject.OutcomeInject; injected != (want != injecttest.None) || injected && d.Injector != want {
		t.Errorf("%v %v: Decide says %s by %q (%s), the table says %q", ns.Labels, row.PodLabels(), d.Outcome, d.Injector, d.Reason(), want)
	}
	if len(matches) == 1 {
		told := set.Decide(inject.Request{Namespace: ns, Pod: pod, Injector: got, Entry: matches[0].Entry})
		if told.Outcome != d.Outcome || told.Reason() != d.Reason() {
			t.Errorf("%v %v: told of the entry, Decide says %s, else %s", ns.Labels, row.PodLabels(), told.Reason(), d.Reason())
		}
	}
	if d.Reason() == "" || d.Message() == "" {
		t.Errorf("%v %v: no reason or sentence: %+v", ns.Labels, row.PodLabels(), d)
	}
}
