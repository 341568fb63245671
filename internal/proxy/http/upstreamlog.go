package http

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// logTry writes upstream_log's lines of the attempt that has ended, if there is one and it wasn't logged yet. Its times
// count from its own start.
func (c *call) logTry(got *outcome) {
	f := &c.forward
	begun := f.tryBegun
	f.tryBegun = 0
	if begun == 0 || c.m.upstreamLogs == nil {
		return
	}
	x := *c.x
	x.Try, x.Local = true, false
	x.Start, x.End = c.x.Start.Add(begun), max(1, time.Since(c.x.Start)-begun)
	for _, moment := range [...]*time.Duration{&x.RequestEnd, &x.FirstUpstreamTx, &x.LastUpstreamTx, &x.FirstUpstreamRx, &x.LastUpstreamRx, &x.FirstTx} {
		*moment = max(0, *moment-begun)
	}
	if !got.answered && got.Response == nil {
		x.Response.Status = 0
		x.Flags |= c.tryFlags(got)
	}
	c.m.upstreamLogs.Log(&x)
}

// tryFlags say how an attempt without an answer ended.
func (c *call) tryFlags(got *outcome) stream.Flags {
	if got.reply != nil {
		return got.reply.Flags
	}
	return resetReply(got.Why, c.x.Upstream.TransportFailure, false).Flags
}
