package stream

import "testing"

func TestTrace(t *testing.T) {
	var none *Trace
	none.Note("chain", "nobody %s", "asks")
	if none.On() {
		t.Error("a nil trace is on")
	}
	some := &Trace{}
	some.Note("chain", "port %d", 80)
	if !some.On() || len(some.Steps) != 1 || some.Steps[0] != (Step{"chain", "port 80"}) {
		t.Errorf("steps %v", some.Steps)
	}
}
