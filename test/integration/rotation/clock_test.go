package rotation

import "testing"

// TestClockIsOff by half an hour, of the leader or of a follower, fast or slow.
func TestClockIsOff(t *testing.T) {
	const fast, slow = clockEnv + "=30m", clockEnv + "=-30m"
	w := newWorld(t)
	a := w.start(fast)
	w.lead(a)
	b := w.start()
	w.watch()
	w.rotation("the leader's is fast")

	w.terminate(a)
	w.lead(b)
	c := w.start(fast)
	w.Ready(c)
	w.rotation("a follower's is fast")

	w.terminate(c)
	d := w.start(slow)
	w.Ready(d)
	w.rotation("a follower's is slow")

	w.terminate(b)
	w.lead(d)
	w.Ready(w.start())
	w.rotation("the leader's is slow")
	w.noLoss()
}

func (w *world) rotation(when string) {
	w.T.Helper()
	w.T.Logf("%s:", when)
	w.completed(w.rotate("true"))
}
