package http

import (
	"errors"
	"net"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/h2"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// h2Conn is a client's HTTP/2 connection.
type h2Conn struct {
	*session
	server *h2.Server
}

// h2Down is a stream of HTTP/2 as the core sees it.
type h2Down struct{ *h2.ServerStream }

// Gone implements downstream: streams tell it by themselves.
func (h2Down) Gone() bool { return false }

// serveH2 serves a connection until it ends. read is what was read of it before.
func serveH2(s *session, raw net.Conn, read []byte) {
	c := &h2Conn{session: s}
	o := h2Options(s.m.cfg)
	o.Read, o.Refused, o.Crew = read, c.refused, s.engine.crew
	c.server = h2.NewServer(raw, o, c.serve)
	if !s.engine.join(c) {
		return
	}
	defer s.engine.leave(c)
	if most := s.m.cfg.MaxConnectionDuration; most > 0 {
		watch := s.engine.wheel.join(c)
		defer s.engine.wheel.leave(watch)
		watch.set(s.engine.wheel.since(s.began.Add(most)))
	}
	stats := s.m.stats
	stats.CxHTTP2.Add(1)
	stats.CxHTTP2Active.Add(1)
	defer stats.CxHTTP2Active.Add(-1)
	if err := c.server.Serve(); err != nil {
		stats.CxProtocolError.Add(protocolErrors(err))
	}
}

// refused counts and logs a request that the codec didn't hand out; with a Status it has answered it, else it has reset
// the stream.
func (c *h2Conn) refused(r *stream.Request, why *codec.Failure) {
	x := &stream.Exchange{}
	x.Reset(c.conn, c.engine.opts.Now())
	x.Protocol, x.Request, x.Local = stream.HTTP2, *r, true
	x.Response.Status, x.Details, x.Flags = why.Status, why.Details, stream.DownstreamProtocolError
	c.calls.Add(1)
	c.stats.RqTotal.Add(1)
	c.stats.Response(why.Status, 0)
	c.m.count(x, make([]telemetry.IstioCache, len(c.m.istio)))
	c.m.logs.Log(x)
}

func h2Options(cfg *config.HTTPManager) h2.Options {
	o := h2.FromConfig(cfg.HTTP2)
	o.MaxHeadBytes, o.MaxHeaders, o.Underscores = cfg.MaxHeadBytes, cfg.MaxHeaders, cfg.Underscores
	o.IdleTimeout, o.DrainTimeout = cfg.IdleTimeout, cfg.DrainTimeout
	o.HeadTimeout = cfg.RequestHeadersTimeout
	if o.HeadTimeout == 0 {
		o.HeadTimeout = headTimeout
	}
	return o
}

// serve serves one request.
func (c *h2Conn) serve(s *h2.ServerStream) {
	x := &stream.Exchange{}
	x.Reset(c.conn, s.Opened())
	s.Head(x)
	one := &call{session: c.session, x: x, down: h2Down{s}, istio: make([]telemetry.IstioCache, len(c.m.istio))}
	one.patience = &patience{call: one}
	c.calls.Add(1)
	if c.engine.leaving(c.m, c.conn.Direction) || c.m.cfg.MaxRequests > 0 && c.calls.Load() >= int64(c.m.cfg.MaxRequests) {
		c.server.Drain()
	}
	one.watch = c.engine.wheel.join(one)
	defer c.engine.wheel.leave(one.watch)
	one.begin() // it forgets what has cut the last call: only from here on this one can be cut
	s.OnGone(func() { one.quit(causeGone) })
	one.carryOut()
	if one.timer != nil {
		one.timer.Stop()
	}
}

// look implements watched: the connection has lasted as long as it may.
func (c *h2Conn) look(int64) int64 {
	c.m.stats.CxMaxDuration.Add(1)
	c.server.Drain()
	return 0
}

func (c *h2Conn) drain(all bool) {
	if all {
		c.server.Drain()
		return
	}
	c.server.DrainIdle()
}

func (c *h2Conn) closeIdle() { c.server.Drain() }

func (c *h2Conn) abort() { c.server.Close() }

// protocolErrors is 1 if err is the client's breach of HTTP/2.
func protocolErrors(err error) uint64 {
	var broken *h2.Error
	if errors.As(err, &broken) {
		return 1
	}
	return 0
}
