package upstream

import (
	"sync/atomic"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// Priority is a request's priority: which circuit breaker counts it.
type Priority uint8

// The priorities.
const (
	DefaultPriority Priority = iota
	HighPriority
)

// breaker counts what a priority has under way. The limits are the configuration's of the moment.
type breaker struct{ connections, pending, requests, retries atomic.Int64 }

// take adds 1 to n unless that is more than limit.
func take(n *atomic.Int64, limit int64) bool {
	if n.Add(1) > limit {
		n.Add(-1)
		return false
	}
	return true
}

func (c *Cluster) limits(p Priority) *config.Breaker { return &c.Config().Breakers[p] }

// TryRequest takes a place among the requests under way; false: there are max_requests, answer 503 UO. DoneRequest gives
// the place back.
func (c *Cluster) TryRequest(p Priority) bool {
	if take(&c.breakers[p].requests, int64(c.limits(p).Requests)) {
		return true
	}
	c.Stats.RqPendingOverflow.Add(1)
	return false
}

// DoneRequest ends what TryRequest began.
func (c *Cluster) DoneRequest(p Priority) { c.breakers[p].requests.Add(-1) }

// TryPending takes a place among the requests that wait for a connection; false: there are max_pending_requests, answer
// 503 UO. DonePending gives the place back.
func (c *Cluster) TryPending(p Priority) bool {
	if take(&c.breakers[p].pending, int64(c.limits(p).Pending)) {
		return true
	}
	c.Stats.RqPendingOverflow.Add(1)
	return false
}

// DonePending ends what TryPending began.
func (c *Cluster) DonePending(p Priority) { c.breakers[p].pending.Add(-1) }

// TryConnect takes a place among the connections; false: there are max_connections, wait for one or answer 503 UO. Dial
// calls it, and closing a Conn calls DoneConnect: callers of Dial need neither.
func (c *Cluster) TryConnect(p Priority) bool {
	if take(&c.breakers[p].connections, int64(c.limits(p).Connections)) {
		return true
	}
	c.Stats.CxOverflow.Add(1)
	return false
}

// DoneConnect ends what TryConnect began.
func (c *Cluster) DoneConnect(p Priority) { c.breakers[p].connections.Add(-1) }

// TryRetry takes a place among the retries, by max_retries or the retry budget; false: the last answer is final, URX.
// DoneRetry gives the place back.
func (c *Cluster) TryRetry(p Priority) bool {
	if take(&c.breakers[p].retries, c.maxRetries(p)) {
		return true
	}
	c.Stats.RqRetryOverflow.Add(1)
	return false
}

// DoneRetry ends what TryRetry began.
func (c *Cluster) DoneRetry(p Priority) { c.breakers[p].retries.Add(-1) }

// maxRetries is how many retries there may be: a fixed number, or a share of what is under way.
func (c *Cluster) maxRetries(p Priority) int64 {
	limits, b := c.limits(p), &c.breakers[p]
	if limits.BudgetPercent == 0 {
		return int64(limits.Retries)
	}
	share := limits.BudgetPercent / 100 * float64(b.requests.Load()+b.pending.Load())
	return max(int64(share), int64(limits.BudgetMin))
}

// BreakerStatus is how full a priority's circuit breaker is.
type BreakerStatus struct {
	Limits                                  config.Breaker
	MaxRetries                              int64 // Limits.Retries, or of the budget now
	Connections, Pending, Requests, Retries int64
}

// Breaker returns the state of a circuit breaker.
func (c *Cluster) Breaker(p Priority) BreakerStatus {
	b := &c.breakers[p]
	return BreakerStatus{
		Limits: *c.limits(p), MaxRetries: c.maxRetries(p),
		Connections: b.connections.Load(), Pending: b.pending.Load(), Requests: b.requests.Load(), Retries: b.retries.Load(),
	}
}

// gauges brings the gauges of the circuit breakers up to date.
func (c *Cluster) gauges() {
	for p := range c.breakers {
		s, to := c.Breaker(Priority(p)), &c.Stats.Breakers[p]
		gauge(&to.CxOpen, &to.RemainingCx, s.Connections, int64(s.Limits.Connections), s.Limits.TrackRemaining)
		gauge(&to.RqPendingOpen, &to.RemainingPending, s.Pending, int64(s.Limits.Pending), s.Limits.TrackRemaining)
		gauge(&to.RqOpen, &to.RemainingRq, s.Requests, int64(s.Limits.Requests), s.Limits.TrackRemaining)
		gauge(&to.RqRetryOpen, &to.RemainingRetries, s.Retries, s.MaxRetries, s.Limits.TrackRemaining)
	}
}

// gauge sets open to 1 if there is no place left.
func gauge(open, remaining *telemetry.Gauge, used, limit int64, track bool) {
	left := max(limit-used, 0)
	if left == 0 {
		open.Store(1)
	} else {
		open.Store(0)
	}
	if track {
		remaining.Store(left)
	}
}
