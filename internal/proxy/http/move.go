package http

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/h1"
)

// moveAfter is how many bytes of a tunnel's direction are copied before the kernel moves the rest: short exchanges are
// cheaper copied.
const moveAfter = 64 << 10

// mover is what moves the rest of a tunnel's direction, nil if it is to be copied: TLS and HTTP/2 are.
func (c *call) mover(from, to any, copied uint64) *h1.Mover {
	if copied < moveAfter || c.x.Throttle != nil || c.x.GRPC {
		return nil
	}
	return h1.NewMover(from, to, c.engine.pipes)
}

// moveOn moves the rest of what the client sends if that can be done; false: it is to be copied.
func (r *requestBody) moveOn(c *call) (done bool) {
	m := c.mover(c.down, c.forward.stream, c.x.Received)
	return m != nil && r.move(c, m)
}

// move is run inside the kernel; false: there is no pipe for that.
func (r *requestBody) move(c *call, m *h1.Mover) (done bool) {
	for {
		n, end, err := m.Fill()
		switch {
		case err != nil:
			r.fail(c, err)
			return true
		case end:
			r.pass(c, nil, true)
			return true
		case n == 0:
			return false
		}
		c.x.Received += uint64(n)                              //nolint:gosec // not negative
		c.engine.opts.Store.Server.SplicedBytes.Add(uint64(n)) //nolint:gosec // as above
		c.moved()
		if !r.drain(m) {
			return true
		}
	}
}

// drain gives the sink what m has taken; false: there is none, or it takes no more.
func (r *requestBody) drain(m *h1.Mover) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sink == nil {
		m.Drop()
		return false
	}
	if err := m.Drain(); err != nil {
		r.sink, r.unsent = nil, err
		return false
	}
	return true
}

// moveAnswerOn moves the rest of what the host sends if that can be done; without done it is to be copied.
func (c *call) moveAnswerOn() (whole, done bool) {
	if m := c.mover(c.forward.stream, c.down, c.x.Sent); m != nil {
		return c.moveAnswer(m)
	}
	return false, false
}

// moveAnswer is answerBody inside the kernel; without done there is no pipe for that.
func (c *call) moveAnswer(m *h1.Mover) (whole, done bool) {
	for {
		n, end, err := m.Fill()
		switch {
		case err != nil:
			c.upstreamFailed(err)
			return false, true
		case end:
			if err := c.writeBody(nil, true); err != nil {
				c.clientFailed(err)
				return false, true
			}
			c.x.LastUpstreamRx = time.Since(c.x.Start)
			return true, true
		case n == 0:
			return false, false
		}
		c.moved()
		if err := m.Drain(); err != nil {
			c.clientFailed(err)
			return false, true
		}
		c.x.Sent += uint64(n)                                  //nolint:gosec // not negative
		c.engine.opts.Store.Server.SplicedBytes.Add(uint64(n)) //nolint:gosec // as above
	}
}
