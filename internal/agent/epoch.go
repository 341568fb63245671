package agent

import (
	"errors"
	"fmt"
	"time"

	"github.com/pillion-mesh/pillion/internal/agent/control"
)

// State is where a child stands in its life.
type State uint8

// States in their order.
const (
	Starting State = iota // forked
	Warming               // said HELLO
	Serving               // said ACCEPTING
	Draining              // was told DRAIN
	Exited                // reaped
)

var stateNames = [...]string{"STARTING", "WARMING", "SERVING", "DRAINING", "EXITED"}

func (s State) String() string { return stateNames[s] }

// Limits are how long things may take.
type Limits struct {
	Start     time.Duration // fork to HELLO
	Accept    time.Duration // ACCEPT to ACCEPTING
	Unhealthy time.Duration // silence after which a child isn't healthy
	Dead      time.Duration // silence after which it gets SIGQUIT
	Quit      time.Duration // SIGQUIT to SIGKILL
}

// DefaultLimits are those of production.
var DefaultLimits = Limits{
	Start: 5 * time.Second, Accept: 5 * time.Second,
	Unhealthy: 10 * time.Second, Dead: time.Minute, Quit: 2 * time.Second,
}

// action is what an epoch wants done to its child.
type action uint8

const (
	sendSockets action = iota
	sendAccept
	quit // SIGQUIT: the child prints its goroutines
	kill // SIGKILL
)

// epoch is the state of one child. It is pure: messages and the time come in, actions go out.
type epoch struct {
	n      int
	limits Limits

	state    State
	started  time.Time
	accepted time.Time // ACCEPT was sent; zero before
	lastBeat time.Time
	killAt   time.Time // zero: nothing is ending
	active   int
	drained  bool // a BEAT counted after DRAIN said that no connection is left
	version  string
}

func newEpoch(n int, limits Limits, now time.Time) *epoch {
	return &epoch{n: n, limits: limits, started: now}
}

// errProtocol means a child said something it may not say. Before it serves it is killed for that; once it carries
// traffic, connections are worth more than order, and the message is ignored.
var errProtocol = errors.New("protocol error")

// receive takes a message of the child. The error is for the log; the actions are to be done all the same.
func (e *epoch) receive(m control.Message, now time.Time) ([]action, error) {
	switch {
	case m.Type == control.Beat && e.state >= Serving:
		e.lastBeat, e.active = now, m.Active
		e.drained = m.Draining && m.Active == 0
		return nil, nil
	case m.Type == control.Hello && e.state == Starting && m.Epoch == e.n:
		e.state, e.version = Warming, m.Version
		return []action{sendSockets}, nil
	case m.Type == control.Ready && e.state == Warming && e.accepted.IsZero():
		e.accepted = now
		return []action{sendAccept}, nil
	case m.Type == control.Accepting && e.state == Warming && !e.accepted.IsZero():
		e.state, e.lastBeat = Serving, now
		return nil, nil
	}
	return e.offend(fmt.Errorf("%w: %s of epoch %d in state %s", errProtocol, m.Type, m.Epoch, e.state))
}

// mayAsk reports whether a message is one about sockets that the child may send now.
func (e *epoch) mayAsk(m control.Message) bool {
	return e.state != Starting && (m.Type == control.Listen || m.Type == control.Release)
}

// offend is called for messages that are wrong or no messages.
func (e *epoch) offend(err error) ([]action, error) {
	if e.state >= Serving {
		return nil, err
	}
	return []action{kill}, err
}

// hungUp is called when the child has closed its end: it is dying, or can't be supervised. If it was told to end that is
// how it obeys, and gets no more time for it.
func (e *epoch) hungUp(now time.Time) {
	if e.killAt.IsZero() {
		e.killAt = now.Add(e.limits.Quit)
	}
}

// drain marks a serving child as draining.
func (e *epoch) drain() {
	if e.state == Serving {
		e.state = Draining
	}
}

// tick returns what is due now.
func (e *epoch) tick(now time.Time) []action {
	due := e.deadline()
	if due.IsZero() || now.Before(due) {
		return nil
	}
	if e.state >= Serving && e.killAt.IsZero() {
		e.killAt = now.Add(e.limits.Quit)
		return []action{quit}
	}
	e.killAt = now.Add(e.limits.Quit) // again, should it not die
	return []action{kill}
}

// deadline is when tick has something to do next; zero: not before something happens.
func (e *epoch) deadline() time.Time {
	switch {
	case e.state == Exited:
		return time.Time{}
	case !e.killAt.IsZero():
		return e.killAt
	case e.state == Starting:
		return e.started.Add(e.limits.Start)
	case e.state == Warming && !e.accepted.IsZero():
		return e.accepted.Add(e.limits.Accept)
	case e.state == Warming:
		return time.Time{} // the first configuration may take as long as it takes; readiness says so
	default:
		return e.lastBeat.Add(e.limits.Dead)
	}
}

// healthy reports whether the child serves and was heard of lately.
func (e *epoch) healthy(now time.Time) bool {
	return (e.state == Serving || e.state == Draining) && now.Sub(e.lastBeat) < e.limits.Unhealthy
}
