package rotation

import (
	"testing"
	"time"
)

// TestExpiredWhileScaledToZero: the first life was four hundred days ago, for an API server's clock can't be moved, and
// its CA lived for a year. All of it, Secret and bundles, is still there.
func TestExpiredWhileScaledToZero(t *testing.T) {
	w := newWorld(t)
	old := w.start(clockEnv + "=-9600h")
	w.Eventually("the CA of back then is in the bundle", func() error {
		_, err := w.Configuration(configuration)
		return err
	})
	before := w.secret().Data["active.crt"]
	w.Service.Lose(old)
	w.gone(old)
	w.DropLease()
	meshed := w.Meshed()

	began := time.Now()
	w.start()
	w.start()
	w.Injected(meshed)
	t.Logf("%s from the start of two processes to the first injected pod", time.Since(began).Round(time.Millisecond))
	if string(w.secret().Data["active.crt"]) == string(before) {
		t.Error("the CA is the one that ended")
	}
	w.watch()
	w.Eventually("the recovery is over", w.settled)
	w.rotation("afterwards")
	w.noLoss()
}
