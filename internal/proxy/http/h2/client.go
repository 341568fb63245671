package h2

import (
	"net"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Client is a connection to a server, which many requests use at once.
type Client struct {
	conn
	nextID uint32
	done   chan struct{}
}

// NewClient returns the client side of nc, and reads from it until it ends or Close is called.
func NewClient(nc net.Conn, o Options) *Client {
	c := &Client{nextID: 1, done: make(chan struct{})}
	c.init(nc, o, true)
	c.head = c.onResponse
	c.out.bytes = append(c.out.bytes, preface...)
	c.greet(settingValue{settingPush, 0})
	go func() {
		defer close(c.done)
		_ = c.run()
		if o.Closed != nil {
			o.Closed()
		}
	}()
	return c
}

// Done is closed when the connection is over.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the connection ended, or nil while it lives.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// Streams is the number of streams taken.
func (c *Client) Streams() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active
}

// Usable reports whether Stream may ever succeed again: not when the server said GOAWAY or the connection ended.
func (c *Client) Usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.usableLocked()
}

// lastID is the highest number a client's stream may have. Some are left over for those already taken.
const lastID = maxWindow - 1<<16

func (c *Client) usableLocked() bool {
	return c.dead == nil && !c.away.last && !c.away.asked && c.nextID < lastID
}

// Stream takes one of the streams the server allows at once; nil if all are in use or the connection has no future.
// The answer's trailers come into x. The caller must Close it.
func (c *Client) Stream(x *stream.Exchange) *ClientStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.usableLocked() || c.active >= int(min(c.peer.streams, c.opts.MaxStreams)) {
		return nil
	}
	c.active++
	c.timer.busy()
	s := &ClientStream{client: c, x: x}
	s.c = &c.conn
	s.wake.L = &c.mu
	return s
}

// Drain lets the streams finish that are there, then closes the connection.
func (c *Client) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away.asked, c.away.last = true, true
	c.settle()
}

// Close ends the connection and all streams, and waits until it has.
func (c *Client) Close() {
	c.abort()
	<-c.done
}

// onResponse takes a decoded head of an answer.
func (c *Client) onResponse(h frameHeader) error {
	m := c.in.msg
	m.checkResponse()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.answered(h.stream)
	if s == nil {
		m.free()
		if c.idle(h.stream) {
			return broken(ProtocolError, "HEADERS on an idle stream")
		}
		return nil // closed meanwhile
	}
	end := h.has(flagEndStream)
	if rule := s.wrongHead(m, end); rule != "" {
		m.free()
		return c.resetLocked(h.stream, ProtocolError, rule)
	}
	s.headLocked(m, end)
	return nil
}

func (c *Client) answered(id uint32) *ClientStream {
	if s := c.streams[id]; s != nil {
		return s.owner
	}
	return nil
}

var errNoStream = &codec.Failure{Reason: codec.RefusedStream, Details: "the connection takes no more streams"}
