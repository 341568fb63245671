package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeChildren record when they were stopped.
type fakeChildren struct {
	mu      sync.Mutex
	drains  []time.Duration
	stopped time.Time
	busy    time.Time // connections until then; zero: for ever
	hooks   time.Time // of the application, until then
	none    bool
}

func (c *fakeChildren) Drain(deadline time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drains = append(c.drains, deadline)
}

func (c *fakeChildren) Stop(time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped.IsZero() {
		c.stopped = time.Now()
	}
}

func (c *fakeChildren) Status() ChildStatus {
	return ChildStatus{Drained: c.none || !c.busy.IsZero() && !time.Now().Before(c.busy)}
}

func (c *fakeChildren) runningHooks() int64 { return oneUntil(c.hooks) }

func oneUntil(end time.Time) int64 {
	if time.Now().Before(end) {
		return 1
	}
	return 0
}

// TestHooksAreWaitedFor: a preStop hook that runs through the agent isn't broken off by the agent's leaving, as long as
// the pod has time.
func TestHooksAreWaitedFor(t *testing.T) {
	for hook, leaves := range map[time.Duration]time.Duration{0: 5 * time.Second, 20 * time.Second: 20 * time.Second, time.Hour: 27 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			children := &fakeChildren{none: true, hooks: began.Add(hook)}
			e := newTestEnding(children, Settings{TerminationGrace: 30 * time.Second, MinimumDrain: 5 * time.Second, ExitOnZero: true})
			e.terminate(context.Background())
			e.wait.Wait()
			if left := children.stopped.Sub(began); left < leaves || left > leaves+drainPoll {
				t.Errorf("a hook of %v: left after %v, want %v", hook, left, leaves)
			}
		})
	}
}

// TestTerminate is the timetable of SIGTERM, in synctest's time.
func TestTerminate(t *testing.T) {
	for _, c := range []struct {
		name                 string
		grace, minimum, busy time.Duration
		exitOnZero           bool
		leaves               time.Duration
	}{
		{"no connection leaves after the minimum", 30 * time.Second, 5 * time.Second, 0, true, 5 * time.Second},
		{"connections are waited for", 30 * time.Second, 5 * time.Second, 12 * time.Second, true, 12 * time.Second},
		{"not longer than the grace period", 30 * time.Second, 5 * time.Second, time.Hour, true, 27 * time.Second},
		{"never early if told so", 30 * time.Second, 5 * time.Second, 0, false, 27 * time.Second},
		{"the minimum doesn't outlast the grace period", 6 * time.Second, 5 * time.Second, 0, true, 3 * time.Second},
		{"no grace", 0, 5 * time.Second, time.Hour, true, 0},
		{"grace shorter than the reserve", 2 * time.Second, 5 * time.Second, time.Hour, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				children := &fakeChildren{busy: began.Add(c.busy)}
				e := newTestEnding(children, Settings{TerminationGrace: c.grace, MinimumDrain: c.minimum, ExitOnZero: c.exitOnZero})
				if !e.terminate(context.Background()) {
					t.Fatal("the first SIGTERM counts as the second")
				}
				e.wait.Wait()
				if got := children.stopped.Sub(began); got < c.leaves || got > c.leaves+drainPoll {
					t.Errorf("left after %v, want %v", got, c.leaves)
				}
				if e.terminate(context.Background()) {
					t.Error("the second SIGTERM counts as the first")
				}
				if !e.draining.Load() {
					t.Error("not draining")
				}
			})
		})
	}
}

// TestMostDrain: terminationDrainDuration shortens draining and never makes it longer.
func TestMostDrain(t *testing.T) {
	second, hour, none := time.Second, time.Hour, time.Duration(0)
	for _, c := range []struct {
		most *time.Duration
		want time.Duration
	}{{nil, 27 * time.Second}, {&second, time.Second}, {&hour, 27 * time.Second}, {&none, 0}} {
		if got := drainTime(Settings{TerminationGrace: 30 * time.Second, MostDrain: c.most}); got != c.want {
			t.Errorf("most %v: %v, want %v", c.most, got, c.want)
		}
	}
}

func newTestEnding(children *fakeChildren, s Settings) *ending {
	return &ending{settings: s, draining: new(atomic.Bool), children: children, hooks: children.runningHooks}
}

func TestPreparedLeavesAtOnce(t *testing.T) {
	children := &fakeChildren{}
	e := newTestEnding(children, Settings{TerminationGrace: time.Hour, ExitOnZero: true})
	e.prepare()
	e.prepare()
	if len(children.drains) != 1 || children.drains[0] != 0 || !children.stopped.IsZero() {
		t.Fatalf("after /drain: %+v", children)
	}
	e.terminate(context.Background())
	if children.stopped.IsZero() {
		t.Error("SIGTERM after /drain doesn't end the proxy at once")
	}
}

func TestQuitDoesNotDrain(t *testing.T) {
	children := &fakeChildren{}
	e := newTestEnding(children, Settings{})
	e.quit()
	if len(children.drains) != 0 || children.stopped.IsZero() {
		t.Errorf("after /quitquitquit: %+v", children)
	}
	if e.terminate(context.Background()) {
		t.Error("SIGTERM after /quitquitquit starts draining")
	}
}
