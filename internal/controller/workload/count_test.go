package workload

import (
	"fmt"
	"testing"
)

func TestCountsListNamespacesWithWorkFirst(t *testing.T) {
	tally := newTally()
	for i := range 150 {
		tally.add(fmt.Sprintf("n%03d", i), stateInjected)
	}
	tally.add("n149", stateMissing)
	tally.add("n140", stateStale)
	tally.add("n140", stateMissing)
	tally.add("n000", stateNone)
	tally.add("n000", stateCandidate)
	status := tally.status()
	if status.Injected != 151 || status.Stale != 1 || status.Missing != 2 || tally.unknown != 1 {
		t.Errorf("counts are %d injected, %d stale, %d missing, %d unknown; want 151, 1, 2, 1", status.Injected, status.Stale, status.Missing, tally.unknown)
	}
	if len(status.Namespaces) != 100 {
		t.Fatalf("%d namespaces are listed, want 100", len(status.Namespaces))
	}
	for i, want := range []string{"n140", "n149", "n000", "n001"} {
		if got := status.Namespaces[i].Name; got != want {
			t.Errorf("namespace %d is %s, want %s", i, got, want)
		}
	}
	if n := status.Namespaces[0]; n.Injected != 2 || n.Stale != 1 || n.Missing != 1 {
		t.Errorf("counts of n140 are %+v, want 2 injected, of these 1 stale, and 1 missing", n)
	}
}
