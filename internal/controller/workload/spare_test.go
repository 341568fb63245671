package workload

import (
	"slices"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// TestAnOwnersOnlyHealthyPodStays: not every owner has a PodDisruptionBudget.
func TestAnOwnersOnlyHealthyPodStays(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		pods       []bool // ready, the oldest first
		want       []string
	}{
		{"all are ready", "ReplicaSet", []bool{true, true}, []string{"web-1"}},
		{"one isn't, which goes", "ReplicaSet", []bool{true, false}, []string{"web-2"}},
		{"none is", "ReplicaSet", []bool{false, false}, []string{"web-1"}},
		{"others are on nodes of their own", "DaemonSet", []bool{true, false}, []string{"web-1"}},
		{"it is alone", "ReplicaSet", []bool{true}, []string{"web-1"}},
	} {
		w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60))
		for _, up := range c.pods {
			p := w.pod("on", c.kind, "web")
			if up {
				nowReady(p)
			}
			w.add(p)
			w.now = w.now.Add(time.Second)
		}
		w.replace = nil
		w.pass(minAge)
		if !slices.Equal(w.posted, c.want) {
			t.Errorf("%s: evicted %q, want %q", c.name, w.posted, c.want)
		}
	}
}

func TestAHealthyPodStaysWhileAnotherThatIsKeptIsNotReady(t *testing.T) {
	w := evictionWorld(t, evicting(v1alpha1.EvictMissing, 60))
	w.add(w.pod("on", "ReplicaSet", "web", nowReady))
	broken := w.add(w.pod("on", "ReplicaSet", "web", w.injected))
	w.pass(minAge)
	w.pass(time.Second)
	if len(w.posted) != 0 {
		t.Fatalf("evicted %q, the only pod that is ready", w.posted)
	}
	w.makeReady(broken)
	if w.pass(time.Minute); len(w.posted) != 1 {
		t.Error("nothing is evicted although the other pod is ready")
	}
}
