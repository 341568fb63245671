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
	heading              // some of a head is
	busy                 // a request is under way
)

// h1Conn is a client's HTTP/1.1 connection: one goroutine, one call that is used again and again.
type h1Conn struct {
	call
	server *h1.Server
	own    stream.Exchange
	phase  atomic.Uint32
	until  atomic.Int64 // when it has been idle for too long, in the wheel's time; 0: never
	over   bool         // a request was served in place, and was the last one
	known  bool         // it is HTTP/1 indeed, and was counted
	http2  []byte       // it isn't: what was read of HTTP/2

	serveInPlace func() bool
}

// h1Down is the server as the core sees it.
type h1Down struct {
	*h1.Server
	raw syscallConn
}

type syscallConn interface{ Control(func(fd uintptr)) error }

// serveH1 serves a connection until it ends. If it turns out to be HTTP/2, which codec AUTO leaves to the first bytes, it
// returns what it has read of it.
func serveH1(s *session, raw net.Conn) (http2 []byte) {
	c := &h1Conn{server: h1.NewServer(raw, s.m.h1)}
	c.session, c.x = s, &c.own
	c.patience = &patience{call: &c.call}
	c.istio = make([]telemetry.IstioCache, len(s.m.istio))
	c.down = &h1Down{c.server, socketOf(raw)}
	c.serveInPlace = c.inPlace
	if !s.engine.join(c) {
		return nil
	}
	defer s.engine.leave(c)
	c.watch = s.engine.wheel.join(c)
	defer s.engine.wheel.leave(c.watch)
	for c.next() {
	}
	if c.known {
		s.m.stats.CxHTTP1Active.Add(-1)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	return c.http2
}

// count counts the connection with its first request.
func (c *h1Conn) count() {
	if !c.known {
		c.known = true
		c.m.stats.CxHTTP1.Add(1)
		c.m.stats.CxHTTP1Active.Add(1)
	}
}

// socketOf is the socket below conn, nil if it isn't known.
func socketOf(conn net.Conn) syscallConn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// next serves one request, besides those that are served in place; false ends the connection.
func (c *h1Conn) next() bool {
	if !c.server.Buffered() {
		if !c.rest() || c.server.Await(c.serveInPlace) != nil {
			return false
		}
		if c.over {
			return c.last()
		}
	}
	c.own.Reset(c.conn, c.engine.opts.Now())
	c.phaseTo(heading, c.headLimit())
	err := c.server.Head(&c.own)
	c.phase.Store(uint32(busy))
	if err != nil && !c.known && c.m.cfg.Codec == config.CodecAuto {
		if c.http2 = c.server.Preface(); c.http2 != nil {
			return false
		}
	}
	c.count()
	if err != nil {
		c.refuse(err)
		return c.last()
	}
	return c.one() || c.last()
}

// one serves a request whose head is here. It reports whether another one may follow.
func (c *h1Conn) one() bool {
	c.calls.Add(1)
	c.serve()
	return c.server.Finish() && c.timers.causes.Load() == 0
}

// inPlace serves the usual request, which came in one piece, within the read that brought it.
func (c *h1Conn) inPlace() bool {
	c.own.Reset(c.conn, c.engine.opts.Now())
	if !c.server.TakeWhole(&c.own) {
		return false
	}
	c.phase.Store(uint32(busy))
	c.count()
	if !c.one() {
		c.over = true
		return false
	}
	if c.server.Buffered() {
		return false
	}
	c.over = !c.rest()
	return !c.over
}

// idleLook is when it is looked whether an idle client has closed the connection: it may have done so with the bytes of
// its last request, and then nothing wakes us.
const idleLook = time.Second

// rest is between requests. It reports whether the connection may wait for another one.
func (c *h1Conn) rest() bool {
	limit := c.m.cfg.IdleTimeout
	if most := c.m.cfg.MaxConnectionDuration; most > 0 {
		left := time.Until(c.began.Add(most))
		if left <= 0 {
			c.m.stats.CxMaxDuration.Add(1)
			return false
		}
		if limit == 0 || left < limit {
			limit = left
		}
	}
	now := c.now()
	c.until.Store(0)
	if limit > 0 {
		c.until.Store(now + int64(limit))
	}
	c.timers.reset()
	c.phase.Store(uint32(idle))
	first := now + int64(idleLook)
	if until := c.until.Load(); until > 0 {
		first = min(first, until)
	}
	c.watch.set(first)
	return true
}

func (c *h1Conn) headLimit() time.Duration {
	if limit := c.m.cfg.RequestHeadersTimeout; limit > 0 {
		return limit
	}
	return headTimeout
}

// phaseTo enters a phase that may last so long; 0: for ever.
func (c *h1Conn) phaseTo(p phase, limit time.Duration) {
	at := int64(0)
	if limit > 0 {
		at = c.now() + int64(limit)
	}
	c.timers.at[headDeadline].Store(at)
	c.phase.Store(uint32(p))
	c.watch.set(at)
}

// look implements watched.
func (c *h1Conn) look(now int64) int64 {
	switch phase(c.phase.Load()) {
	case busy:
		return c.call.look(now)
	case idle:
		if until := c.until.Load(); (until == 0 || now < until) && !c.down.Gone() {
			return until
		}
	}
	c.timers.causes.Or(uint32(headDeadline.cause()))
	c.server.Interrupt()
	return 0
}

// refuse answers a head that can't be served; who went away, or never sent one, gets nothing.
func (c *h1Conn) refuse(err error) {
	var f *codec.Failure
	errors.As(err, &f)
	reply := refuseReply(f)
	switch {
	case f.Status != 0:
		c.m.stats.CxProtocolError.Add(1)
	case c.timers.has(headDeadline.cause()):
		c.m.stats.RqHeaderTimeout.Add(1)
		reply = &Reply{Status: 408, Details: "request_header_timeout", Body: "request header timeout"}
	default:
		return
	}
	c.begin()
	c.timers.causes.Store(0)
	c.server.Resume()
	c.routes, c.forward.target = nil, nil
	c.server.Close = true
	c.local(reply)
	c.end()
}

// last ends the connection so that the answer reaches the client.
func (c *h1Conn) last() bool {
	if c.server.Unread() && !c.timers.has(causeAbort) {
		c.server.Linger()
	}
	return false
}

// drain implements conn: the next answer says it.
func (c *h1Conn) drain() {}

// closeIdle implements conn.
func (c *h1Conn) closeIdle() {
	if phase(c.phase.Load()) == idle {
		c.server.Interrupt()
	}
}

// abort implements conn.
func (c *h1Conn) abort() {
	c.cut(causeAbort)
	c.server.Interrupt()
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
