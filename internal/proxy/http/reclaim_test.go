package http

import (
	"testing"
	"time"
)

func TestReclaimer(t *testing.T) {
	var r reclaimer
	now := time.Unix(0, 0)
	for i, step := range []struct {
		after  time.Duration
		parked int64
		want   bool
	}{
		{time.Second, reclaimFrom - 1, false}, // they are still coming
		{time.Second, 0, false},               // not worth it
		{time.Second, reclaimFrom, false},
		{time.Second, 99, true},
		{time.Second, 0, false}, // it was done
		{time.Second, reclaimFrom, false},
		{time.Second, 0, false}, // not twice a minute
		{time.Minute, 0, true},
	} {
		now = now.Add(step.after)
		r.parked.Add(step.parked)
		if got := r.tick(now); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}
