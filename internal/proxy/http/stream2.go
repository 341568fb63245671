package http

import (
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// h2Down is a stream of HTTP/2 as the core sees it: it tells itself when its client is gone.
type h2Down struct{ codec.Downstream }

// Gone implements downstream.
func (h2Down) Gone() bool { return false }

// LastAnswer implements downstream: connections of HTTP/2 end by GOAWAY.
func (h2Down) LastAnswer() {}

// Resume implements downstream: a stream that was interrupted is reset.
func (h2Down) Resume() {}

// serveStream serves one request of HTTP/2. The exchange's request is filled in.
func (s *session) serveStream(x *stream.Exchange, down codec.Downstream) {
	c := &call{session: s, x: x, down: h2Down{down}, istio: make([]telemetry.IstioCache, len(s.m.istio))}
	c.patience = &patience{call: c}
	x.Conn = s.conn
	if x.Start.IsZero() {
		x.Start = s.engine.opts.Now()
	}
	x.Protocol, x.GRPCStatus = stream.HTTP2, -1
	s.calls.Add(1)
	c.watch = s.engine.wheel.join(c)
	defer s.engine.wheel.leave(c.watch)
	c.serve()
	if c.timer != nil {
		c.timer.Stop()
	}
}
