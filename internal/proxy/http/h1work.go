package http

// Serving one HTTP/1.1 connection while it isn't parked.
import (
	"errors"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/h1"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

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
