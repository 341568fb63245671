package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Times of the ways out.
const (
	graceReserve = 3 * time.Second        // of the pod's grace period, kept for ending the children
	stopGrace    = 500 * time.Millisecond // SIGTERM to SIGKILL of a child
	drainPoll    = 50 * time.Millisecond
)

// ending is how the agent leaves. There are three ways, besides the proxy's dying: drained by SIGTERM; prepared by
// POST /drain and then told by SIGTERM, when the application is already gone; at once by POST /quitquitquit.
type ending struct {
	settings Settings
	draining *atomic.Bool
	children interface {
		Drain(deadline time.Duration)
		Stop(grace time.Duration)
		Status() ChildStatus
	}
	// hooks is how many of the application's hooks run. In a classic pod the kubelet calls them through us while we are
	// told to end, and ends the application when they break off.
	hooks func() int64

	mu       sync.Mutex
	prepared bool
	leaving  bool
	wait     sync.WaitGroup
}

// prepare starts draining without a deadline.
func (e *ending) prepare() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.leaving || e.prepared {
		return
	}
	e.prepared = true
	e.draining.Store(true)
	e.children.Drain(0)
}

// quit leaves without draining.
func (e *ending) quit() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leaving = true
	e.draining.Store(true)
	e.children.Stop(stopGrace)
}

// terminate answers SIGTERM. It reports false if that was not the first, and the agent must end at once.
func (e *ending) terminate(ctx context.Context) (first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.leaving {
		return false
	}
	e.leaving = true
	e.draining.Store(true)
	if e.prepared {
		e.children.Stop(stopGrace / 2) // of the 500 ms the kubelet waits for us here, half are the proxy's
		return true
	}
	deadline := drainTime(e.settings)
	e.children.Drain(deadline)
	e.wait.Go(func() { e.drainAndStop(ctx, deadline) })
	return true
}

// drainTime is how long draining may take: the pod's grace period less what ending takes, or less where that is set.
func drainTime(s Settings) time.Duration {
	left := max(s.TerminationGrace-graceReserve, 0)
	if s.MostDrain != nil {
		left = min(left, *s.MostDrain)
	}
	return left
}

// drainAndStop waits for the connections to end, not shorter than the minimum, because other nodes learn late that
// this pod is going, and not longer than deadline.
func (e *ending) drainAndStop(ctx context.Context, deadline time.Duration) {
	began := time.Now()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for !e.drained(time.Since(began), deadline) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	e.children.Stop(stopGrace)
}

func (e *ending) drained(elapsed, deadline time.Duration) bool {
	if elapsed >= deadline {
		return true
	}
	return e.settings.ExitOnZero && elapsed >= e.settings.MinimumDrain && e.children.Status().Drained && e.hooks() == 0
}
