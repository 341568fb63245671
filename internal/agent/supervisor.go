package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
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
}

// Run supervises until Stop was ordered (nil), the budget of starts is used up, or ctx ends, which kills the child.
func (s *Supervisor) Run(ctx context.Context) error {
	defer close(s.done)
	r := &run{Supervisor: s, oomKills: s.OOMKill()}
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
	exit := r.supervise(ctx, e, c)
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

// supervise is the event loop of one child.
func (r *run) supervise(ctx context.Context, e *epoch, c child) Exit {
	inbox, over := c.Inbox(), ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r.publish(e, c)
		timer.Reset(r.untilNext(e))
		select {
		case exit := <-c.Exited():
			e.state = Exited
			return exit
		case in, open := <-inbox:
			if !open {
				inbox = nil
				continue
			}
			r.receive(e, c, in)
		case o := <-r.orders:
			r.obey(e, c, o)
		case <-timer.C:
			r.act(c, e.tick(time.Now()))
		case <-over:
			over = nil
			r.act(c, []action{kill})
		}
	}
}

// untilNext is when to look at the child again: at its deadline, and when its health may have run out.
func (r *run) untilNext(e *epoch) time.Duration {
	wait := time.Minute
	now := time.Now()
	if due := e.deadline(); !due.IsZero() {
		wait = min(wait, due.Sub(now))
	}
	if e.healthy(now) {
		wait = min(wait, e.lastBeat.Add(r.Limits.Unhealthy).Sub(now))
	}
	return max(wait, 0)
}

func (r *run) publish(e *epoch, c child) {
	healthy := e.healthy(time.Now())
	r.update(func(s *ChildStatus) {
		s.PID, s.State, s.LastBeat, s.Healthy = c.PID(), e.state, e.lastBeat, healthy
		s.Active, s.Drained = e.active, e.drained
	})
}

func (r *run) receive(e *epoch, c child, in incoming) {
	var bad *control.MessageError
	switch {
	case in.err == nil:
		before := e.state
		actions, err := e.receive(in.message, time.Now())
		r.complain(e, err)
		r.act(c, actions)
		if before != Serving && e.state == Serving {
			r.serving(e, c)
		}
	case errors.As(in.err, &bad):
		actions, err := e.offend(bad)
		r.complain(e, err)
		r.act(c, actions)
	case errors.Is(in.err, io.EOF) || errors.Is(in.err, syscall.ECONNRESET):
		e.killAt = time.Now().Add(r.Limits.Quit) // it is dying, or has closed its end and can't be supervised
	default:
		r.complain(e, in.err)
		r.act(c, []action{kill})
	}
}

func (r *run) serving(e *epoch, c child) {
	r.Log.Info("Proxy accepts connections", "epoch", e.n, "version", e.version, "after", time.Since(e.started))
	if r.draining != nil {
		r.obey(e, c, *r.draining)
	}
}

func (r *run) complain(e *epoch, err error) {
	if err != nil {
		r.Log.Error(err, "Bad control message of the proxy", "epoch", e.n, "state", e.state.String())
	}
}

func (r *run) obey(e *epoch, c child, o order) {
	switch {
	case o.drain:
		r.draining = &o
		if e.state == Serving {
			r.send(c, control.Message{Type: control.Drain, InboundOnly: true, DeadlineMillis: o.deadline.Milliseconds()}, nil)
			e.drain()
		}
	case o.stop:
		r.stopping = true
		e.killAt = time.Now().Add(o.grace)
		_ = c.Signal(syscall.SIGTERM)
	default:
		_ = c.Signal(o.signal)
	}
}

func (r *run) act(c child, actions []action) {
	for _, a := range actions {
		switch a {
		case sendSockets:
			r.send(c, control.Message{Type: control.Sockets, Sockets: r.Names}, r.FDs)
		case sendAccept:
			r.send(c, control.Message{Type: control.Accept}, nil)
		case quit:
			r.Log.Info("Proxy is silent, asking for its goroutines", "pid", c.PID())
			_ = c.Signal(syscall.SIGQUIT)
		case kill:
			_ = c.Signal(syscall.SIGKILL)
		}
	}
}

// send kills a child that can't be told: it has closed its end or doesn't read.
func (r *run) send(c child, m control.Message, fds []int) {
	if err := c.Send(m, fds); err != nil {
		r.Log.Error(err, "Proxy can't be told", "message", m.Type)
		_ = c.Signal(syscall.SIGKILL)
	}
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
