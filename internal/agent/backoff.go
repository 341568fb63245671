package agent

import "time"

// Restarts of a child: at once, then after 1, 2, 4 … 60 s; from the start again after ten minutes of serving. Ten
// starts in ten minutes are enough: then the kubelet takes over.
const (
	backoffMax   = time.Minute
	servedEnough = 10 * time.Minute
	startBudget  = 10
	budgetWindow = 10 * time.Minute
)

// restarts decides when a child may be started.
type restarts struct {
	starts []time.Time
	failed int // deaths since it last served long enough
}

// allow records a start at now, or reports that there were too many.
func (r *restarts) allow(now time.Time) bool {
	kept := r.starts[:0]
	for _, at := range r.starts {
		if now.Sub(at) < budgetWindow {
			kept = append(kept, at)
		}
	}
	r.starts = kept
	if len(r.starts) >= startBudget {
		return false
	}
	r.starts = append(r.starts, now)
	return true
}

// died returns how long to wait before the next start, after a child that served for so long.
func (r *restarts) died(served time.Duration) time.Duration {
	if served >= servedEnough {
		r.failed = 0
	}
	r.failed++
	if r.failed == 1 {
		return 0
	}
	return min(time.Second<<min(r.failed-2, 10), backoffMax)
}
