package rotation

import (
	"fmt"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// TestFollowerIsPaused through each phase: it wakes up with what it knew before.
func TestFollowerIsPaused(t *testing.T) {
	w := begin(t, 3)
	for i, phase := range underWay {
		w.during(phase, func() {
			r := w.followers()[0]
			w.freeze(r)
			until := rotation.Steady
			if i+1 < len(underWay) {
				until = underWay[i+1]
			}
			w.reach(w.steps.count()-1, until)
			w.thaw(r)
		})
	}
	w.noLoss()
}

// TestReplicasArePausedForAWholeRotation, and the leader so that another one does it. Both wake up with a leaf of a CA
// that nobody trusts any more.
func TestReplicasArePausedForAWholeRotation(t *testing.T) {
	w := begin(t, 3)
	leader, follower := w.leader(), w.followers()[0]
	mark := w.rotate("true")
	w.reach(mark, rotation.Introduce)
	w.freeze(leader)
	w.freeze(follower)
	w.gone(leader)
	w.gone(follower)
	w.DropLease()
	w.completed(mark)
	w.thaw(follower)
	w.thaw(leader) // its parent starts another worker, because this one has lost the Lease
	w.replicas = append(w.replicas, follower, leader)
	w.Ready(w.replicas...)
	w.Eventually("the bundles are what they were", w.settled)
	w.noLoss()
}

// TestPausedReplicaIsLeftInTheService: calls that it got wait, and are answered or fail with the wait. None may be refused
// for a certificate.
func TestPausedReplicaIsLeftInTheService(t *testing.T) {
	w := begin(t, 3)
	mark := w.rotate("true")
	w.reach(mark, rotation.Propagate)
	r := w.followers()[0]
	r.Pause()
	w.reach(mark, rotation.Promote)
	time.Sleep(time.Second)
	stuck := w.Service.Inside(r)
	r.Resume()
	w.completed(mark)
	w.Ready(r)
	w.finish()
	t.Logf("%d calls were stuck; failures: %s", stuck, texts(append(w.traffic.refused, w.traffic.lost...)))
	if err := w.traffic.distrust(); err != nil {
		t.Error(err)
	}
}

// freeze stops a replica without a word, when the Service has heard of it and calls inside have been answered.
func (w *world) freeze(r *replica) {
	w.T.Helper()
	w.Service.Evict(r)
	w.Eventually("calls inside replica "+r.Name+" are answered", func() error {
		if n := w.Service.Inside(r); n > 0 {
			return fmt.Errorf("%d aren't", n)
		}
		return nil
	})
	r.Pause()
}

func (w *world) thaw(r *replica) {
	r.Resume()
	w.Service.Admit(r)
}
