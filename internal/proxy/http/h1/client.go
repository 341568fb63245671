package h1

import (
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var _ codec.Upstream = (*Client)(nil)

// Client is a connection to a server, for one request after the other.
type Client struct {
	socket socket
	in     input
	out    output

	// Release gets the connection back with Close, reusable or to be closed.
	Release func(c *Client, reusable bool)

	// PreserveCase notes how the server spells the names of fields.
	PreserveCase bool

	x         *stream.Exchange
	method    string
	upgrade   bool // another protocol may follow
	asked     bool // with Upgrade
	answered  bool // the final head came
	close     bool // it is the last answer
	sentAt    uint64
	gotAt     uint64
	keepAlive int // of Keep-Alive: timeout, seconds; -1: not told

	interrupted atomic.Bool
}

// NewClient returns the client side of conn.
func NewClient(conn net.Conn, lim Limits) *Client {
	c := &Client{keepAlive: -1}
	c.socket.init(conn)
	c.in.socket, c.in.lim = &c.socket, lim.withDefaults()
	c.in.size = largeSize // answers often come with their bodies: one read, one write
	c.out.socket = &c.socket
	return c
}

// Begin starts a request. Its answer's trailers go to x.
func (c *Client) Begin(x *stream.Exchange) {
	c.x, c.answered, c.close, c.upgrade, c.asked = x, false, false, false, false
	c.sentAt, c.gotAt = c.socket.sent.Load(), c.socket.received
	c.in.ended, c.in.kind = false, noBody
	c.out.whole, c.out.failed = false, nil
}

// Conn is the connection itself.
func (c *Client) Conn() net.Conn { return c.socket.conn }

// KeepAlive is how long the server keeps an idle connection, as it last said; below zero: it didn't.
func (c *Client) KeepAlive() time.Duration { return time.Duration(c.keepAlive) * time.Second }

// WriteHead implements codec.Upstream.
func (c *Client) WriteHead(r *stream.Request, end bool) error {
	c.asked = r.Upgrade != ""
	c.method, c.upgrade = r.Method, c.asked || r.Method == http.MethodConnect
	chunk, length := requestPlan(r, end)
	c.out.chunk, c.out.length = chunk, length
	before := c.out.start()
	after := appendRequest(before, r, chunk, length)
	respell(after[len(before):], r.Case)
	c.out.grown(after)
	if end {
		c.out.whole = true
		return c.out.flush()
	}
	return nil
}

// WriteBody implements codec.Writer.
func (c *Client) WriteBody(piece []byte, end bool) error {
	if err := c.out.body(piece, end); err != nil || !end || !c.upgrade {
		return err
	}
	return c.socket.closeWrite()
}

// WriteTrailers implements codec.Writer.
func (c *Client) WriteTrailers(t *stream.Fields) error { return c.out.trailerFields(t) }

// Flush implements codec.Writer.
func (c *Client) Flush() error { return c.out.flush() }

// ReadHead implements codec.Upstream.
func (c *Client) ReadHead(r *stream.Response) (end bool, err error) {
	for {
		if err := c.in.await(); err != nil {
			return false, failure(err)
		}
		if c.PreserveCase {
			if partial(c.in.rest, c.in.lim) {
				if err := c.in.more(); err != nil {
					return false, failure(err)
				}
				continue
			}
			r.Case = spelled(c.in.rest)
		}
		n, err := parseResponse(c.in.rest, c.in.lim, r, &c.in.head)
		if err != nil {
			return false, broken(err)
		}
		if n > 0 {
			c.in.rest = c.in.rest[n:]
			return c.begin(r)
		}
		r.Fields.Clear()
		if err := c.in.more(); err != nil {
			return false, failure(err)
		}
	}
}

// begin is after a head was understood.
func (c *Client) begin(r *stream.Response) (end bool, err error) {
	if r.Status < 200 && r.Status != http.StatusSwitchingProtocols {
		return false, nil
	}
	if r.Status == http.StatusSwitchingProtocols && !c.asked {
		return false, broken(errStatusLine)
	}
	kind, err := responseBody(c.method, r.Status, &c.in.head)
	if err != nil {
		return false, broken(err)
	}
	c.answered = true
	c.close = !c.in.head.persistent() || kind == byClose
	if c.in.head.keepAlive != "" {
		c.keepAlive = keepAliveTimeout(c.in.head.keepAlive)
	}
	if r.Status == http.StatusSwitchingProtocols && c.in.head.upgrade != "" {
		r.Fields.Add("upgrade", c.in.head.upgrade)
	}
	if kind == byChunks || kind == byClose {
		r.Length = -1
	}
	if kind == noBody && !bodiless(r.Status) && c.method != http.MethodHead {
		r.Length = 0
	}
	c.in.begin(kind, r.Length, &c.x.ResponseTrailers)
	return kind == noBody, nil
}

// broken makes the defect of an answer the upstream's failure.
func broken(err error) *codec.Failure {
	var f *codec.Failure
	if errors.As(err, &f) && f.Reason == codec.Protocol {
		return &codec.Failure{Reason: codec.Protocol, Details: f.Details}
	}
	return failure(err)
}

// ReadBody implements codec.Reader.
func (c *Client) ReadBody() (piece []byte, end bool, err error) {
	piece, end, err = c.in.body()
	if err != nil {
		err = broken(err)
	}
	return piece, end, err
}

// Ready implements codec.Reader.
func (c *Client) Ready() bool { return c.in.ready() }

// Written implements codec.Upstream.
func (c *Client) Written() bool { return c.socket.sent.Load() != c.sentAt }

// Answered implements codec.Upstream.
func (c *Client) Answered() bool { return c.socket.received != c.gotAt }

// Interrupt implements codec.Upstream.
func (c *Client) Interrupt() {
	c.interrupted.Store(true)
	_ = c.socket.conn.SetDeadline(time.Unix(1, 0))
}

// Close implements codec.Upstream. Bytes behind an answer are nobody's: a connection with them isn't used again.
func (c *Client) Close() {
	reusable := c.answered && !c.close && c.in.ended && c.out.whole && c.out.failed == nil && len(c.in.rest) == 0 &&
		!c.interrupted.Load()
	if c.upgrade && c.in.kind == byClose && (!c.in.ended || !c.out.whole) {
		abort(c.socket.conn) // as a tunnel's: nobody may take what came for all
	}
	c.out.release()
	c.in.rest = nil
	c.in.finish()
	c.x = nil
	c.Release(c, reusable)
}
