package http

import (
	"strconv"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// passOn gives the upstream's answer to the client. It is this call's last word: nothing is tried again.
func (c *call) passOn() *Reply {
	x, f := c.x, &c.forward
	x.Details = "via_upstream"
	c.finishHead()
	f.target.stats.Response(x.Response.Status, time.Since(x.Start))
	if c.opens() {
		c.tunnel()
		return nil
	}
	end := f.answerEnd
	if !c.writeHead(end) {
		return nil
	}
	switch {
	case end:
		c.grpcStatus()
	default:
		c.answerBody()
	}
	return nil
}

// finishHead makes of the upstream's head the client's.
func (c *call) finishHead() {
	x := c.x
	c.routes.ResponseHeaders(x)
	for _, cookie := range c.forward.cookies {
		x.Response.Fields.Add("set-cookie", cookie)
	}
	route.FinishResponse(c.m.cfg, x, x.FirstUpstreamRx-x.FirstUpstreamTx)
	if c.m.filters != nil {
		c.m.filters.Response(x)
	}
	c.commonHead()
}

// commonHead is what all answers say, the upstream's and our own.
func (c *call) commonHead() {
	fields := &c.x.Response.Fields
	if c.m.cfg.Tracing != nil {
		route.DecorateResponse(c.x)
	}
	route.ServerName(c.m.cfg, c.x)
	if _, there := fields.Get("date"); !there {
		fields.Add("date", c.engine.date.text())
	}
	if c.m.cfg.Via != "" {
		fields.Add("via", c.m.cfg.Via)
	}
	if c.lastAnswer() {
		c.down.LastAnswer()
	}
}

// lastAnswer reports whether the connection ends with this answer.
func (c *call) lastAnswer() bool {
	if most := c.m.cfg.MaxRequests; most > 0 && c.calls.Load() >= int64(most) {
		c.m.stats.CxMaxRequests.Add(1)
		return true
	}
	if c.engine.leaving(c.m, c.conn.Direction) {
		c.m.stats.CxDrainClose.Add(1)
		return true
	}
	if c.x.Protocol == stream.HTTP2 {
		return false // its connections are ended when their time has come, whatever is under way
	}
	return !c.request.finished.Load() || c.aged() || c.refusedTunnel()
}

// writeHead writes the final head; false: the client is gone.
func (c *call) writeHead(end bool) bool {
	c.mu.Lock()
	c.answering = true
	c.mu.Unlock()
	c.x.FirstTx = time.Since(c.x.Start)
	c.engine.opts.Tap.Response(c.x)
	if err := c.down.WriteHead(&c.x.Response, end); err != nil {
		c.clientFailed(err)
		return false
	}
	return true
}

// answerBody copies the body, piece by piece as it comes. Small pieces that are here already leave together. It reports
// whether that went to the end.
func (c *call) answerBody() (whole bool) {
	up, down := c.forward.stream, c.down
	var count messages
	for {
		if !up.Ready() {
			if err := down.Flush(); err != nil {
				c.clientFailed(err)
				return false
			}
		}
		piece, end, err := up.ReadBody()
		if err != nil {
			c.upstreamFailed(err)
			return false
		}
		c.moved()
		count.add(c, piece, 1)
		if err := c.writeBody(piece, end); err != nil {
			c.clientFailed(err)
			return false
		}
		c.x.Sent += uint64(len(piece))
		if c.request.tunnelled && !end {
			if whole, done := c.moveAnswerOn(); done {
				return whole
			}
		}
		if end {
			c.x.LastUpstreamRx = time.Since(c.x.Start)
			c.grpcStatus()
			return true
		}
	}
}

// writeBody writes a piece of the body, in time if the answer is throttled.
func (c *call) writeBody(piece []byte, end bool) error {
	if t := c.x.Throttle; t != nil {
		return c.writeThrottled(t, piece, end)
	}
	return c.writePiece(piece, end)
}

func (c *call) writePiece(piece []byte, end bool) error {
	if !end || c.x.ResponseTrailers.Len() == 0 {
		return c.down.WriteBody(piece, end)
	}
	if len(piece) > 0 {
		if err := c.down.WriteBody(piece, false); err != nil {
			return err
		}
	}
	return c.down.WriteTrailers(&c.x.ResponseTrailers)
}

// grpcStatus notes what the call ended with: in the trailers, or in the head of an answer without body.
func (c *call) grpcStatus() {
	if !c.x.GRPC {
		return
	}
	text, there := c.x.ResponseTrailers.Get("grpc-status")
	if !there {
		text, there = c.x.Response.Fields.Get("grpc-status")
	}
	if n, err := strconv.Atoi(text); there && err == nil {
		c.x.GRPCStatus = n
	}
}

// clientFailed is after the client couldn't be written to.
func (c *call) clientFailed(err error) {
	switch {
	case c.timers.causes.Load() != 0 && !c.timers.has(causeGone):
		c.cutFlags()
	case reasonOf(err) == codec.Protocol: // the answer isn't as long as it said
		c.x.Flags |= stream.UpstreamProtocolError
		c.x.Details = "upstream_reset_after_response_started{protocol_error}"
	default:
		c.x.Flags |= stream.DownstreamReset
		c.x.Details = "downstream_remote_disconnect"
		c.m.stats.RqRxReset.Add(1)
	}
	c.down.Reset(codec.LocalReset)
}

// upstreamFailed is after an answer broke off: the client mustn't take it for whole.
func (c *call) upstreamFailed(err error) {
	why := reasonOf(err)
	if c.timers.causes.Load() != 0 {
		c.cutFlags()
	} else {
		c.x.Flags |= resetFlags[why]
		c.x.Details = "upstream_reset_after_response_started{" + why.String() + "}"
		c.forward.target.cluster.Stats.RqRxReset.Add(1)
	}
	c.m.stats.RqTxReset.Add(1)
	if c.tunnels() {
		why = c.brokenTunnel()
	}
	c.down.Reset(why)
}
