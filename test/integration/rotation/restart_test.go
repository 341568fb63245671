package rotation

import (
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// TestAPIServerIsRestarted in the middle. Creations that find none fail, and are no admissions; see noServer. As in
// production, its absence is short beside the time after which a replica's knowledge counts as old.
func TestAPIServerIsRestarted(t *testing.T) {
	w := begin(t, 3, staleEnv+"=30s")
	for _, phase := range []rotation.Phase{rotation.Introduce, rotation.Promote} {
		w.during(phase, func() { w.RestartAPIServer(500 * time.Millisecond) })
	}
	w.finish()
	if len(w.traffic.down) == 0 {
		t.Error("nobody noticed")
	}
	w.traffic.down = nil // allowed here
	w.judge()
}
