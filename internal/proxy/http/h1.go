package http

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/h1"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// headTimeout is how long a head may take if the configuration doesn't say.
const headTimeout = 60 * time.Second

// phase is what an HTTP/1.1 connection is doing.
type phase uint32

const (
	idle    phase = iota // no byte of a request is here
	leaving              // idle for a while: its goroutine has been told to park it
	parked               // it has no goroutine
	heading              // some of a head is here
	busy                 // a request is under way
)

// h1Conn is a client's HTTP/1.1 connection: what is left of it while it is parked.
type h1Conn struct {
	*session
	raw   net.Conn
	wake  func(func() (parked bool)) // runs it again after it was parked; nil: it never is
	watch *watch
	phase atomic.Uint32
	place int32        // its descriptor, while it is parked
	known bool         // it is HTTP/1 indeed, and was counted
	until atomic.Int64 // when it has been idle for too long, in the wheel's time; 0: never
	work  atomic.Pointer[h1Work]
}

// h1Work is what serving a connection needs besides: one goroutine, one call that is used again and again.
type h1Work struct {
	call
	of     *h1Conn
	server *h1.Server
	own    stream.Exchange
	over   bool   // a request was served in place, and was the last one
	leaves bool   // the connection is to be parked
	http2  []byte // it isn't HTTP/1: what was read of HTTP/2

	serveInPlace func() bool
}

// h1Down is the server as the core sees it.
type h1Down struct {
	*h1.Server
	raw syscallConn
}

type syscallConn interface{ Control(func(fd uintptr)) error }

// serveH1 serves a connection until it ends or is parked.
func serveH1(s *session, raw net.Conn, wake func(func() bool)) (parked bool) {
	c := &h1Conn{session: s, raw: raw, wake: wake}
	c.watch = s.engine.wheel.join(c)
	if !s.engine.join(c) {
		s.engine.wheel.leave(c.watch)
		c.close()
		return false
	}
	return c.serve()
}

// serve serves it until it ends or is parked. Then it may be served again already when serve returns.
func (c *h1Conn) serve() (parked bool) {
	defer func() {
		if !parked {
			c.close()
		}
	}()
	http2, parked := c.requests()
	if http2 != nil {
		serveH2(c.session, c.raw, http2)
	}
	return parked
}

func (c *h1Conn) close() {
	_ = c.raw.Close()
	c.end()
}

// requests serves requests. If the connection turns out to be HTTP/2, which codec AUTO leaves to the first bytes, it
// returns what was read of it.
func (c *h1Conn) requests() (http2 []byte, parked bool) {
	defer func() {
		if !parked {
			c.leave()
		}
	}()
	for {
		w := c.newWork()
		for w.next() {
		}
		if w.timer != nil {
			w.timer.Stop()
		}
		if !w.leaves {
			return w.http2, false
		}
		if c.park() {
			return nil, true
		}
		c.wake = nil
	}
}

func (c *h1Conn) newWork() *h1Work {
	w := &h1Work{of: c, server: h1.NewServer(c.raw, c.m.h1)}
	w.session, w.x, w.watch = c.session, &w.own, c.watch
	w.patience = &patience{call: &w.call}
	w.istio = make([]telemetry.IstioCache, len(c.m.istio))
	w.down = &h1Down{w.server, socketOf(c.raw)}
	w.serveInPlace = w.inPlace
	c.work.Store(w)
	return w
}

// leave is for a connection that isn't HTTP/1's any more.
func (c *h1Conn) leave() {
	c.engine.wheel.leave(c.watch)
	c.engine.leave(c)
	if c.known {
		c.m.stats.CxHTTP1Active.Add(-1)
	}
}

// count counts the connection with its first request.
func (c *h1Conn) count() {
	if !c.known {
		c.known = true
		c.m.stats.CxHTTP1.Add(1)
		c.m.stats.CxHTTP1Active.Add(1)
	}
}

// next serves one request, besides those that are served in place; false ends the connection.
func (w *h1Work) next() bool {
	if !w.server.Buffered() {
		if !w.rest() {
			return false
		}
		if w.server.Await(w.serveInPlace) != nil {
			w.leaves = phase(w.of.phase.Load()) == leaving
			return false
		}
		if w.over {
			return w.last()
		}
	}
	w.own.Reset(w.conn, w.engine.opts.Now())
	w.phaseTo(heading, w.headLimit())
	err := w.server.Head(&w.own)
	w.of.enter(busy)
	if err != nil && !w.of.known && w.m.cfg.Codec == config.CodecAuto {
		if w.http2 = w.server.Preface(); w.http2 != nil {
			return false
		}
	}
	w.of.count()
	if err != nil {
		w.refuse(err)
		return w.last()
	}
	return w.one() || w.last()
}

// one serves a request whose head is here. It reports whether another one may follow.
func (w *h1Work) one() bool {
	w.calls.Add(1)
	w.serve()
	return w.server.Finish() && w.timers.causes.Load() == 0
}

// inPlace serves the usual request, which came in one piece, within the read that brought it.
func (w *h1Work) inPlace() bool {
	w.own.Reset(w.conn, w.engine.opts.Now())
	if !w.server.TakeWhole(&w.own) {
		return false
	}
	w.of.enter(busy)
	w.of.count()
	if !w.one() {
		w.over = true
		return false
	}
	if w.server.Buffered() {
		return false
	}
	w.over = !w.rest()
	return !w.over
}

// rest is between requests. It reports whether the connection may wait for another one.
func (w *h1Work) rest() bool {
	limit := w.m.cfg.IdleTimeout
	if most := w.m.cfg.MaxConnectionDuration; most > 0 {
		left := time.Until(w.began.Add(most))
		if left <= 0 {
			w.m.stats.CxMaxDuration.Add(1)
			return false
		}
		if limit == 0 || left < limit {
			limit = left
		}
	}
	now, c := w.now(), w.of
	c.until.Store(0)
	if limit > 0 {
		c.until.Store(now + int64(limit))
	}
	w.timers.reset()
	c.phase.Store(uint32(idle))
	first := now + int64(w.engine.parkAfter)
	if until := c.until.Load(); until > 0 {
		first = min(first, until)
	}
	w.watch.set(first)
	return true
}

func (w *h1Work) headLimit() time.Duration {
	if limit := w.m.cfg.RequestHeadersTimeout; limit > 0 {
		return limit
	}
	return headTimeout
}

// phaseTo enters a phase that may last so long; 0: for ever.
func (w *h1Work) phaseTo(p phase, limit time.Duration) {
	at := int64(0)
	if limit > 0 {
		at = w.now() + int64(limit)
	}
	w.timers.at[headDeadline].Store(at)
	w.of.enter(p)
	w.watch.set(at)
}

// enter begins p. Who was about to be parked isn't: a request came.
func (c *h1Conn) enter(p phase) {
	if phase(c.phase.Swap(uint32(p))) == leaving {
		c.watch.set(0) // the wheel has finished when set returns
		c.resume()
	}
}

// look implements watched.
func (c *h1Conn) look(now int64) int64 {
	w, until := c.work.Load(), c.until.Load()
	switch phase(c.phase.Load()) {
	case busy:
		return w.look(now)
	case leaving:
		return until
	case idle:
		if until > 0 && now >= until {
			break
		}
		if c.wake != nil && c.phase.CompareAndSwap(uint32(idle), uint32(leaving)) {
			_ = c.raw.SetReadDeadline(time.Unix(1, 0))
			return until
		}
		if !w.down.Gone() {
			return until
		}
	case parked:
		if until > 0 && now >= until {
			c.endParked()
			return 0
		}
		return until
	}
	if w != nil { // it has just come back else
		w.timers.causes.Or(uint32(headDeadline.cause()))
	}
	c.interrupt()
	return 0
}

// refuse answers a head that can't be served; who went away, or never sent one, gets nothing.
func (w *h1Work) refuse(err error) {
	var f *codec.Failure
	errors.As(err, &f)
	reply := refuseReply(f)
	switch {
	case f.Status != 0:
		w.m.stats.CxProtocolError.Add(1)
	case w.timers.has(headDeadline.cause()):
		w.m.stats.RqHeaderTimeout.Add(1)
		reply = &Reply{Status: 408, Details: "request_header_timeout", Body: "request header timeout"}
	default:
		return
	}
	w.begin()
	w.timers.causes.Store(0)
	w.server.Resume()
	w.routes, w.forward.target = nil, nil
	w.server.Close = true
	w.local(reply)
	w.end()
}

// last ends the connection so that the answer reaches the client.
func (w *h1Work) last() bool {
	if w.server.Unread() && !w.timers.has(causeAbort) {
		w.server.Linger()
	}
	return false
}

// interrupt ends all waiting for the client.
func (c *h1Conn) interrupt() { _ = c.raw.SetDeadline(time.Unix(1, 0)) }

func (c *h1Conn) resume() { _ = c.raw.SetDeadline(time.Time{}) }

// drain implements conn: the next answer says it.
func (c *h1Conn) drain() {}

// closeIdle implements conn. One that is about to be parked is parked when it is called again.
func (c *h1Conn) closeIdle() {
	switch phase(c.phase.Load()) {
	case idle:
		c.interrupt()
	case parked:
		c.endParked()
	default:
	}
}

// abort implements conn.
func (c *h1Conn) abort() {
	if w := c.work.Load(); w != nil {
		w.cut(causeAbort)
	}
	c.interrupt()
	c.unpark()
}

// LastAnswer implements downstream.
func (d *h1Down) LastAnswer() { d.Close = true }

// Gone implements downstream.
func (d *h1Down) Gone() bool {
	if d.raw == nil {
		return false
	}
	gone := false
	err := d.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}} //nolint:gosec // descriptors are small
		n, err := unix.Poll(fds, 0)
		gone = err == nil && n > 0
	})
	return gone || err != nil
}
