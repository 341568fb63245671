package http

import (
	"errors"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
)

// sendTo writes the request to up, from its head.
func (r *requestBody) sendTo(c *call, up codec.Upstream) error {
	x := c.x
	x.FirstUpstreamTx = time.Since(x.Start)
	switch {
	case r.streamed:
		return r.stream(c, up)
	case !x.Request.HasBody || c.tunnels():
		return up.WriteHead(&x.Request, true)
	}
	if err := up.WriteHead(&x.Request, false); err != nil {
		return err
	}
	if x.RequestTrailers.Len() == 0 {
		return up.WriteBody(r.held, true)
	}
	if err := up.WriteBody(r.held, false); err != nil {
		return err
	}
	return up.WriteTrailers(&x.RequestTrailers)
}

// stream writes what is there and lets the pump do the rest.
func (r *requestBody) stream(c *call, up codec.Upstream) error {
	if err := up.WriteHead(&c.x.Request, false); err != nil {
		return err
	}
	if err := r.attach(c, up); err != nil {
		return err
	}
	if !r.running.Load() && !r.finished.Load() {
		r.running.Store(true)
		r.pump.Go(func() { r.run(c) })
	}
	return nil
}

// attach makes up the sink and gives it what was read before.
func (r *requestBody) attach(c *call, up codec.Upstream) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sink = up
	if err := r.again(c, up); err != nil {
		r.sink = nil
		return err
	}
	return nil
}

func (r *requestBody) again(c *call, up codec.Upstream) error {
	if len(r.kept) > 0 || r.taken > 0 {
		if err := up.WriteBody(r.kept, false); err != nil {
			return err
		}
	} else if r.first != nil {
		if err := r.give(r.first); err != nil {
			return err
		}
	}
	r.first = nil
	if r.finished.Load() {
		return r.finish(c)
	}
	return up.Flush()
}

// give sends a piece to the sink and keeps it if it may.
func (r *requestBody) give(piece []byte) error {
	r.taken += int64(len(piece))
	if len(r.kept)+len(piece) > r.keep {
		r.lost, r.kept = true, nil
	} else if !r.lost {
		r.kept = append(r.kept, piece...)
	}
	if r.sink == nil || len(piece) == 0 {
		return nil
	}
	return r.sink.WriteBody(piece, false)
}

func (r *requestBody) finish(c *call) error {
	switch {
	case r.sink == nil:
		return nil
	case c.x.RequestTrailers.Len() > 0:
		return r.sink.WriteTrailers(&c.x.RequestTrailers)
	default:
		return r.sink.WriteBody(nil, true)
	}
}

// run is the pump: it reads until the body ends or the client fails.
func (r *requestBody) run(c *call) {
	defer r.running.Store(false)
	for {
		if r.tunnelled && r.moveOn(c) {
			return
		}
		piece, end, err := c.down.ReadBody()
		if err != nil {
			r.fail(c, err)
			return
		}
		c.x.Received += uint64(len(piece))
		r.count.add(c, piece, 0)
		c.moved()
		r.pass(c, piece, end)
		if end || r.tunnelled && r.unsent != nil {
			return
		}
	}
}

// pass gives one piece on. That the upstream fails is found by who reads its answer.
func (r *requestBody) pass(c *call, piece []byte, end bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.give(piece)
	if end {
		c.x.RequestEnd = time.Since(c.x.Start)
		r.finished.Store(true)
		c.armRoute(c.forward.times.Route)
	}
	switch {
	case err != nil:
	case end:
		err = r.finish(c)
	case !c.down.Ready() && r.sink != nil:
		err = r.sink.Flush()
	}
	if err != nil {
		r.sink, r.unsent = nil, err
	}
	r.written.Store(end)
}

// fail is after the client's body broke: by its own fault, or because it went away.
func (r *requestBody) fail(c *call, err error) {
	var f *codec.Failure
	if errors.As(err, &f) && f.Status != 0 {
		r.broken.Store(f)
		c.quit(requestDeadline.cause())
		return
	}
	if reasonOf(err) != codec.Interrupted {
		c.quit(causeGone)
	}
}

// whole reports whether the body can be sent again.
func (r *requestBody) whole() bool {
	if !r.streamed {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.lost || r.taken == 0
}

// detach takes the sink away from the pump, which may be writing to it.
func (r *requestBody) detach(up codec.Upstream) {
	if !r.streamed {
		return
	}
	if r.running.Load() && !r.written.Load() {
		up.Interrupt()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sink = nil
}

// reading reports whether the pump may be waiting for more of the body.
func (r *requestBody) reading() bool { return r.running.Load() && !r.finished.Load() }

// stop ends the pump. Its client may still be sending: nobody reads that any more.
func (r *requestBody) stop(c *call) {
	if !r.streamed {
		return
	}
	if r.reading() {
		c.down.Interrupt()
		c.mu.Lock()
		if c.up != nil {
			c.up.Interrupt()
		}
		c.mu.Unlock()
	}
	r.pump.Wait()
}

// tunnel streams what the client sends after an upgrade.
func (r *requestBody) tunnel(c *call, up codec.Upstream) {
	r.mu.Lock()
	r.streamed, r.sink, r.tunnelled = true, up, true
	r.mu.Unlock()
	r.finished.Store(false)
	r.running.Store(true)
	r.pump.Go(func() { r.run(c) })
}
