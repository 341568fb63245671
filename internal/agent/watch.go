package agent

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/pillion-mesh/pillion/internal/agent/control"
)

// watch is the supervision of one child: what it says and what the agent orders come in, messages and signals to it go
// out. What is right when is the epoch's to know.
type watch struct {
	*run
	epoch *epoch
	child child
}

// until is the event loop. It returns when the child has ended; when ctx ends it kills the child.
func (w *watch) until(ctx context.Context) Exit {
	inbox, over := w.child.Inbox(), ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		w.publish()
		timer.Reset(w.untilNext())
		select {
		case exit := <-w.child.Exited():
			w.epoch.state = Exited
			return exit
		case in, open := <-inbox:
			if !open {
				inbox = nil
				continue
			}
			w.receive(in)
		case o := <-w.orders:
			w.obey(o)
		case <-timer.C:
			w.act(w.epoch.tick(time.Now()))
		case <-over:
			over = nil
			w.act([]action{kill})
		}
	}
}

// untilNext is when to look at the child again: at its deadline, and when its health may have run out.
func (w *watch) untilNext() time.Duration {
	wait := time.Minute
	now := time.Now()
	if due := w.epoch.deadline(); !due.IsZero() {
		wait = min(wait, due.Sub(now))
	}
	if w.epoch.healthy(now) {
		wait = min(wait, w.epoch.lastBeat.Add(w.Limits.Unhealthy).Sub(now))
	}
	return max(wait, 0)
}

func (w *watch) publish() {
	healthy := w.epoch.healthy(time.Now())
	w.update(func(s *ChildStatus) {
		s.PID, s.State, s.LastBeat, s.Healthy = w.child.PID(), w.epoch.state, w.epoch.lastBeat, healthy
		s.Active, s.Drained = w.epoch.active, w.epoch.drained
	})
}

func (w *watch) receive(in incoming) {
	var bad *control.MessageError
	switch {
	case in.err == nil && w.epoch.mayAsk(in.message):
		w.listen(in.message)
	case in.err == nil:
		before := w.epoch.state
		actions, err := w.epoch.receive(in.message, time.Now())
		w.complain(err)
		w.act(actions)
		if before != Serving && w.epoch.state == Serving {
			w.serving()
		}
	case errors.As(in.err, &bad):
		actions, err := w.epoch.offend(bad)
		w.complain(err)
		w.act(actions)
	case errors.Is(in.err, io.EOF) || errors.Is(in.err, syscall.ECONNRESET):
		w.epoch.hungUp(time.Now())
	default:
		w.complain(in.err)
		w.act([]action{kill})
	}
}

func (w *watch) serving() {
	w.Log.Info("Proxy accepts connections", "epoch", w.epoch.n, "version", w.epoch.version, "after", time.Since(w.epoch.started))
	if w.draining != nil {
		w.obey(*w.draining)
	}
}

func (w *watch) complain(err error) {
	if err != nil {
		w.Log.Error(err, "Bad control message of the proxy", "epoch", w.epoch.n, "state", w.epoch.state.String())
	}
}

func (w *watch) obey(o order) {
	switch {
	case o.drain:
		w.draining = &o
		if w.epoch.state == Serving {
			w.send(control.Message{Type: control.Drain, InboundOnly: true, DeadlineMillis: o.deadline.Milliseconds()}, nil)
			w.epoch.drain()
		}
	case o.stop:
		w.stopping = true
		w.epoch.killAt = time.Now().Add(o.grace)
		_ = w.child.Signal(syscall.SIGTERM)
	default:
		_ = w.child.Signal(o.signal)
	}
}

func (w *watch) act(actions []action) {
	for _, a := range actions {
		switch a {
		case sendSockets:
			names, fds := w.bound.all()
			names, fds = append(w.Names[:len(w.Names):len(w.Names)], names...), append(w.FDs[:len(w.FDs):len(w.FDs)], fds...)
			w.send(control.Message{Type: control.Sockets, Sockets: names}, fds)
		case sendAccept:
			w.send(control.Message{Type: control.Accept}, nil)
		case quit:
			w.Log.Info("Proxy is silent, asking for its goroutines", "pid", w.child.PID())
			_ = w.child.Signal(syscall.SIGQUIT)
		case kill:
			_ = w.child.Signal(syscall.SIGKILL)
		}
	}
}

// send kills a child that can't be told: it has closed its end or doesn't read.
func (w *watch) send(m control.Message, fds []int) {
	if err := w.child.Send(m, fds); err != nil {
		w.Log.Error(err, "Proxy can't be told", "message", m.Type)
		_ = w.child.Signal(syscall.SIGKILL)
	}
}
