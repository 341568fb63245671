package http

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
)

// keepDefault is how much of a body is kept for another attempt, unless the route says otherwise.
const keepDefault = 64 << 10

// requestBody brings the request's body to the upstream. Most bodies are none, or came with the head: they are written
// with the head and cost nothing more. Others are streamed by a goroutine of their own, so that the answer may come
// before their end.
type requestBody struct {
	held         []byte // all of the body, a view
	streamed     bool
	passContinue bool // Expect: 100-continue is the upstream's to answer

	finished atomic.Bool // the end was read
	written  atomic.Bool // the end was written
	running  atomic.Bool
	pump     sync.WaitGroup
	broken   atomic.Pointer[codec.Failure] // the client's fault

	mu    sync.Mutex
	sink  codec.Upstream // nil: between attempts
	first []byte         // read before the body was streamed, not given to anybody yet
	read  []byte         // what a filter has read
	keep  int            // how much may be kept; 0: nothing
	kept  []byte
	taken int64 // read and given on
	lost  bool  // kept isn't all of taken
	count messages

	tunnelled bool  // it is no body: what the client sends after an upgrade
	unsent    error // why the sink didn't take all; the pump's until it has ended
}

func (r *requestBody) reset() {
	r.held, r.first, r.read, r.streamed, r.passContinue = nil, nil, nil, false, false
	if r.taken != 0 || r.lost {
		r.taken, r.lost, r.kept = 0, false, nil
	}
	r.keep, r.sink, r.tunnelled, r.unsent = 0, nil, false, nil
	r.count = messages{}
	r.finished.Store(false)
	r.written.Store(false)
	if r.broken.Load() != nil {
		r.broken.Store(nil)
	}
}

// begin finds out what kind of body it is. The route has been chosen and filters have agreed: now the client may send.
func (r *requestBody) begin(c *call) *Reply {
	x := c.x
	if !x.Request.HasBody || c.tunnels() {
		r.finished.Store(true)
		return nil
	}
	if r.read != nil {
		r.wasRead(c)
		return nil
	}
	if reply := r.expectation(c); reply != nil {
		return reply
	}
	if c.down.Ready() {
		piece, end, err := c.down.ReadBody()
		if err != nil {
			return c.badBody(err)
		}
		x.Received = uint64(len(piece))
		r.count.add(c, piece, 0)
		if end {
			r.held = piece
			x.RequestEnd = time.Since(x.Start)
			r.finished.Store(true)
			return nil
		}
		r.first = piece
	}
	r.streamed = true
	if c.forward.retry.On != 0 {
		r.keep = c.bufferLimit()
	}
	return nil
}

// wasRead begins with what a filter has read.
func (r *requestBody) wasRead(c *call) {
	if r.finished.Load() {
		r.held = r.read
		return
	}
	r.first, r.streamed = r.read, true
	if c.forward.retry.On != 0 {
		r.keep = c.bufferLimit()
	}
}

// expectation answers Expect: 100-continue, unless the upstream is to do it. A client that sends already needs no answer.
func (r *requestBody) expectation(c *call) *Reply {
	value, there := c.x.Request.Fields.Get("expect")
	if !there || !strings.EqualFold(value, "100-continue") {
		return nil
	}
	if c.m.cfg.Proxy100Continue {
		r.passContinue = true
		return nil
	}
	c.x.Request.Fields.Remove("expect")
	if c.down.Ready() {
		return nil
	}
	c.x.Response.Status = 100
	err := c.down.WriteHead(&c.x.Response, false)
	c.x.Response.Status = 0
	if err != nil {
		return c.badBody(err)
	}
	return nil
}

func (c *call) bufferLimit() int {
	limit := c.x.Route.BufferLimit
	if limit == 0 && c.x.VirtualHost != nil {
		limit = c.x.VirtualHost.BufferLimit
	}
	if limit == 0 {
		limit = keepDefault
	}
	return int(limit)
}

// badBody is a request whose body broke before it was sent anywhere.
func (c *call) badBody(err error) *Reply {
	var f *codec.Failure
	if errors.As(err, &f) && f.Status != 0 {
		return refuseReply(f)
	}
	c.timers.causes.Or(uint32(causeGone))
	return c.cutReply()
}
