package tcp

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

// pair is the two flows between a downstream and an upstream connection.
type pair struct {
	down, up       *side
	request, reply *flow // down → up, up → down

	open  atomic.Int32 // flows that have not seen their end of data
	first sync.Once
	cause error // why the pair ended, nil after both ends of data; written once before the connections are closed
}

func newPair(down, up *side, spliced *atomic.Uint64, pipes *socket.Pipes) *pair {
	p := &pair{
		down: down, up: up,
		request: newFlow(down, up, spliced, pipes),
		reply:   newFlow(up, down, spliced, pipes),
	}
	p.open.Store(2)
	return p
}

// run relays until both directions have ended or one connection is reset, then closes both. guard runs each direction
// so that a panic in it is handled by the owner.
func (p *pair) run(guard func(func())) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		guard(func() { p.direction(p.reply) })
	}()
	guard(func() { p.direction(p.request) })
	<-done
	p.end(nil)
	return p.cause
}

// direction runs one flow and passes its end on: FIN as FIN, RST as RST. A panic ends the pair on its way out.
func (p *pair) direction(f *flow) {
	finished := false
	defer func() {
		if !finished {
			p.end(errPanic)
		}
	}()
	err := f.run()
	if err == nil {
		err = p.endOfData(f)
	}
	if err != nil {
		p.end(err)
	}
	finished = true
}

var errPanic = errors.New("panic")

// endOfData closes dst's write side after src has ended, and watches src while the other direction goes on. For the
// second direction closing both connections does that: both have been read to their end.
func (p *pair) endOfData(f *flow) error {
	if p.open.Add(-1) == 0 {
		p.end(nil)
		return nil
	}
	if err := f.dst.closeWrite(); err != nil {
		return &errReset{f.dst, err}
	}
	return f.awaitReset()
}

// end closes both connections, the first time it is called; a reset is passed on to the other side.
func (p *pair) end(cause error) {
	p.first.Do(func() {
		p.cause = cause
		var reset *errReset
		if errors.As(cause, &reset) {
			p.other(reset.side).abort()
		}
		_ = p.down.closer.Close()
		_ = p.up.closer.Close()
	})
}

func (p *pair) other(s *side) *side {
	if s == p.down {
		return p.up
	}
	return p.down
}
