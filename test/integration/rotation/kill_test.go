package rotation

import (
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// underWay are the phases of a rotation.
var underWay = []rotation.Phase{rotation.Introduce, rotation.Propagate, rotation.Promote, rotation.Retire}

// TestLeaderIsKilled in each phase. Another replica takes over, and a new one takes the place of the dead.
func TestLeaderIsKilled(t *testing.T) {
	w := begin(t, 3)
	for _, phase := range underWay {
		w.during(phase, func() {
			w.lose(w.leader())
			if at := w.secret().Annotations[v1alpha1.AnnotationPhase]; at != string(phase) {
				t.Logf("it got as far as %s", at)
			}
			w.DropLease()
			w.start()
		})
	}
	w.noLoss()
}
