package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	maxHead = 8 << 10 // of a plain request; net/http has a limit of its own for others
	room    = 16 << 10
	maxRest = 256 << 10 // of a body its handler didn't want: less is read for the next request's sake
	linger  = 500 * time.Millisecond
	about   = time.Second // how much later than it should a deadline may be: setting one each time takes time itself
)

// What a connection does, for those who want to close it. One that hasn't had its first request counts as busy: who
// connects now is about to send it.
const (
	busy = iota
	idle
	ending // with its answer
)

// conn is one connection, used by one goroutine; only state and raw's Close are for others, too.
type conn struct {
	server *Server
	raw    net.Conn
	tls    *tls.Conn
	ctx    context.Context //nolint:containedctx // the connection's, which net/http keeps as well
	state  atomic.Int32

	fresh   bool   // no request has come
	read    []byte // not used yet; of buffer
	buffer  []byte
	until   time.Time // the deadline for reading
	request *http.Request
	url     url.URL
	body    body
	answer  *answer
}

func newConn(s *Server, raw net.Conn) *conn {
	c := &conn{server: s, raw: raw, tls: tls.Server(raw, s.HTTP.TLSConfig), ctx: context.Background(), fresh: true}
	if s.ConnContext != nil {
		c.ctx = s.ConnContext(c.ctx, raw)
	}
	c.request = (&http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, URL: &c.url, Body: &c.body, RemoteAddr: raw.RemoteAddr().String()}).WithContext(c.ctx)
	c.body.conn = c
	return c
}

// finish ends a connection once it has no request.
func (c *conn) finish() {
	if c.state.Swap(ending) == idle {
		_ = c.tls.Close()
	}
}

// serve returns what is net/http's to go on with; nil: the connection is at its end.
func (c *conn) serve() net.Conn {
	defer c.recover()
	if !c.shakeHands() {
		return nil
	}
	c.buffer, c.answer = make([]byte, room), newAnswer()
	for c.server.KeepAlive {
		switch more, err := c.next(); {
		case errors.Is(err, errTheirs):
			return c.hand()
		case err != nil || !more:
			c.part()
			return nil
		}
	}
	return c.hand()
}

// recover ends the connection of a handler that panicked.
func (c *conn) recover() {
	if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // a panic's value is no wrapped error
		c.log("http: panic serving %v: %v\n%s", c.raw.RemoteAddr(), p, debug.Stack())
	}
}

func (c *conn) log(format string, args ...any) {
	if c.server.HTTP.ErrorLog != nil {
		c.server.HTTP.ErrorLog.Printf(format, args...)
	}
}

// hand makes the connection net/http's.
func (c *conn) hand() net.Conn {
	_ = c.raw.SetDeadline(time.Time{})
	return &handed{Conn: c.tls, ctx: c.ctx, read: c.read, gone: func() { c.server.count(-1) }}
}

// part says good-bye in TLS, and reads what still comes for a moment: closing while something does would have the
// system drop the answer.
func (c *conn) part() {
	_ = c.raw.SetDeadline(time.Now().Add(linger))
	if c.tls.CloseWrite() == nil && c.body.left > 0 {
		_, _ = io.CopyN(io.Discard, c.tls, maxRest)
	}
}

var (
	errTheirs = errors.New("the request is net/http's")
	errGone   = errors.New("the server is closing")
)

// next serves one request; more says that there may be another one.
func (c *conn) next() (more bool, err error) {
	h, start, err := c.readHead()
	if err != nil {
		return false, err
	}
	c.url = url.URL{Path: h.path, RawQuery: h.query}
	clear(c.request.Header)
	if h.contentType != "" {
		c.request.Header["Content-Type"] = []string{h.contentType}
	}
	c.request.ContentLength = h.length
	c.read = c.read[h.size:]
	c.body.left, c.body.start = h.length, start

	c.answer.reset()
	c.server.HTTP.Handler.ServeHTTP(c.answer, c.request)
	more = c.body.finish() && !c.answer.closes() && c.state.Load() == busy
	now := time.Now()
	_ = c.raw.SetWriteDeadline(now.Add(c.server.HTTP.WriteTimeout))
	if _, err := c.tls.Write(c.answer.whole(now, !more)); err != nil {
		return false, fmt.Errorf("writing an answer: %w", err)
	}
	return more && c.state.CompareAndSwap(busy, idle), nil
}

// readHead waits for a request as long as a connection may be idle, and for the rest of its head as long as that may
// take. start is when its first bytes were there.
func (c *conn) readHead() (h head, start time.Time, err error) {
	wait := c.server.HTTP.IdleTimeout
	if c.fresh {
		wait = c.server.HTTP.ReadHeaderTimeout
	}
	if start = time.Now(); len(c.read) == 0 {
		c.readUntil(start.Add(wait))
		if err := c.fill(); err != nil {
			return h, start, err
		}
		start = time.Now()
	}
	if !c.fresh && !c.state.CompareAndSwap(idle, busy) {
		return h, start, errGone
	}
	c.fresh = false
	for {
		h, whole, plain := parseHead(c.read)
		switch {
		case !plain:
			return h, start, errTheirs
		case whole && c.server.Mine != nil && !c.server.Mine(h.path):
			return h, start, errTheirs
		case whole:
			return h, start, nil
		}
		c.readUntil(start.Add(c.server.HTTP.ReadHeaderTimeout))
		if err := c.fill(); err != nil {
			return h, start, err
		}
	}
}

// readUntil sets the deadline for reading, if it isn't about that already.
func (c *conn) readUntil(t time.Time) {
	if d := c.until.Sub(t); d < 0 || d > about {
		c.until = t.Add(about)
		_ = c.raw.SetReadDeadline(c.until)
	}
}

// fill reads once, behind what is there already. There is room: a head that fills it isn't plain.
func (c *conn) fill() error {
	kept := copy(c.buffer, c.read)
	n, err := c.tls.Read(c.buffer[kept:])
	c.read = c.buffer[:kept+n]
	if n > 0 {
		return nil
	}
	return err
}
