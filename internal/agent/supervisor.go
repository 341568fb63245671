package agent

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/agent/control"
)

// child is a running process as the supervisor sees it; *process is one.
type child interface {
	PID() int
	Inbox() <-chan incoming
	Exited() <-chan Exit
	Send(control.Message, []int) error
	Signal(syscall.Signal) error
	LastWords() string
	Release()
}

// errBudget means the child dies as often as it is started.
var errBudget = fmt.Errorf("the proxy was started %d times in %v and died each time", startBudget, budgetWindow)

// SupervisorOptions are what a Supervisor needs.
type SupervisorOptions struct {
	Start   func(epoch int) (child, error)
	Names   []string // of the sockets
	FDs     []int
	Limits  Limits
	Log     logr.Logger
	OOMKill func() uint64 // count of the kernel's memory kills in this container
}

// Supervisor keeps one child serving: starts it, gives it the sockets, watches it, starts the next when it dies.
type Supervisor struct {
	SupervisorOptions
	orders chan order
	done   chan struct{} // closed when Run has returned

	mu     sync.Mutex
	status ChildStatus
}

// ChildStatus is what the rest of the agent knows of the child.
type ChildStatus struct {
	Epoch    int
	PID      int // 0: none runs
	State    State
	LastBeat time.Time
	Healthy  bool
	Active   int    // application connections
	Drained  bool   // no connection was left after the child had been told to drain
	Starts   uint64 // since the agent started
	Exits    uint64
	LastExit string
}

// order is what the agent wants of the supervisor.
type order struct {
	drain    bool
	deadline time.Duration // of drain; 0: none
	stop     bool
	grace    time.Duration // of stop: SIGTERM to SIGKILL
	signal   syscall.Signal
}

// NewSupervisor returns a Supervisor whose Run must be called.
func NewSupervisor(o SupervisorOptions) *Supervisor {
	return &Supervisor{
		SupervisorOptions: o, orders: make(chan order, 8), done: make(chan struct{}),
		status: ChildStatus{Epoch: -1, State: Exited},
	}
}

// Status returns the child's latest status.
func (s *Supervisor) Status() ChildStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *Supervisor) update(change func(*ChildStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

// run is the supervisor's own state while it runs.
type run struct {
	*Supervisor
	restarts restarts
	draining *order // as it was told, for children started later
	stopping bool
	oomKills uint64
	bound    bound
}

// Run supervises until Stop was ordered (nil), the budget of starts is used up, or ctx ends, which kills the child.
func (s *Supervisor) Run(ctx context.Context) error {
	defer close(s.done)
	r := &run{Supervisor: s, oomKills: s.OOMKill()}
	defer r.bound.close()
	for n := 0; ; n++ {
		if !r.restarts.allow(time.Now()) {
			return errBudget
		}
		served := r.oneEpoch(ctx, n)
		if r.stopping || ctx.Err() != nil {
			return nil
		}
		if !r.pause(ctx, r.restarts.died(served)) {
			return nil
		}
	}
}

// pause waits before a restart and reports whether there shall be one.
func (r *run) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case o := <-r.orders:
			if o.drain {
				r.draining = &o
			}
			if o.stop {
				return false
			}
		}
	}
}

// oneEpoch runs one child to its end and returns how long it served.
func (r *run) oneEpoch(ctx context.Context, n int) time.Duration {
	began := time.Now()
	r.update(func(s *ChildStatus) {
		*s = ChildStatus{Epoch: n, State: Starting, Starts: s.Starts + 1, Exits: s.Exits, LastExit: s.LastExit}
	})
	c, err := r.Start(n)
	if err != nil {
		r.ended(n, "not started: "+err.Error(), "")
		return 0
	}
	r.Log.Info("Proxy started", "epoch", n, "pid", c.PID())
	e := newEpoch(n, r.Limits, began)
	exit := (&watch{run: r, epoch: e, child: c}).until(ctx)
	why := exit.String()
	if exit.Signal == syscall.SIGKILL && r.OOMKill() > r.oomKills {
		r.oomKills = r.OOMKill()
		why += " (the container's memory limit was reached)"
	}
	r.ended(n, why, c.LastWords())
	c.Release()
	return servedFor(e)
}

func servedFor(e *epoch) time.Duration {
	if e.lastBeat.IsZero() {
		return 0
	}
	return e.lastBeat.Sub(e.accepted)
}

func (r *run) ended(n int, why, lastWords string) {
	r.update(func(s *ChildStatus) {
		s.PID, s.State, s.Healthy, s.Active, s.Drained = 0, Exited, false, 0, true
		s.Exits++
		s.LastExit = why
	})
	if r.stopping {
		r.Log.Info("Proxy ended", "epoch", n, "exit", why)
		return
	}
	r.Log.Error(nil, "Proxy died", "epoch", n, "exit", why, "stderr", lastWords)
}

// Drain tells the child, and those after it, that the pod is going away.
func (s *Supervisor) Drain(deadline time.Duration) {
	s.orders <- order{drain: true, deadline: deadline}
}

// Stop ends the child by SIGTERM, after grace by SIGKILL, and then Run.
func (s *Supervisor) Stop(grace time.Duration) { s.order(order{stop: true, grace: grace}) }

// Forward passes a signal on to the child.
func (s *Supervisor) Forward(sig syscall.Signal) { s.order(order{signal: sig}) }

func (s *Supervisor) order(o order) {
	select {
	case s.orders <- o:
	case <-s.done:
	}
}
