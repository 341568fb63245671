package rotation

import (
	"testing"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// TestScale from one replica to three and back while a CA changes.
func TestScale(t *testing.T) {
	w := begin(t, 1)
	w.rotation("one replica")
	w.during(rotation.Introduce, func() {
		w.start()
		w.start()
	})
	w.during(rotation.Propagate, func() {
		for _, r := range w.followers() {
			w.terminate(r)
		}
	})
	w.during(rotation.Introduce, func() { w.Ready(w.start(), w.start()) })
	w.during(rotation.Promote, func() {
		leader := w.leader()
		w.terminate(w.followers()[0])
		w.terminate(leader)
	})
	w.noLoss()
}

// TestRollout of another version that begins in each phase: one new replica, one old one less, until all are new.
func TestRollout(t *testing.T) {
	w := begin(t, 3)
	for i, phase := range underWay {
		w.during(phase, func() {
			for _, old := range w.replicas {
				w.Ready(w.start(versionEnv + "=v2." + string(phase)))
				w.terminate(old)
			}
			t.Logf("rollout %d is done in %s", i+1, w.steps.now())
		})
	}
	w.noLoss()
}
