package http

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/h1"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
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

// interrupt ends all waiting for the client.
func (c *h1Conn) interrupt() { _ = c.raw.SetDeadline(time.Unix(1, 0)) }

func (c *h1Conn) resume() { _ = c.raw.SetDeadline(time.Time{}) }

// drain implements conn: the next answer says it.
func (c *h1Conn) drain(bool) {}

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
	err := d.raw.Control(func(fd uintptr) { gone = socket.Ended(fd) })
	return gone || err != nil
}
