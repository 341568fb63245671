package http

import (
	"context"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// downstream is a codec's side with what only the engine asks.
type downstream interface {
	codec.Downstream
	// Gone reports whether the client has closed the connection; false if nobody can tell.
	Gone() bool
	// LastAnswer makes the present answer the connection's last one.
	LastAnswer()
	// Resume takes an Interrupt back, so that an answer can be written.
	Resume()
}

// call is one request, from its head to its log line. HTTP/1.1 connections have one and use it again.
type call struct {
	*session
	x      *stream.Exchange
	down   downstream
	routes *indexed
	random uint64 // of this request: one roll for all decisions

	watch   *watch
	timers  timers
	timer   *time.Timer
	timerAt int64

	mu        sync.Mutex // up, cancel, answering: the wheel reads them
	up        codec.Upstream
	cancel    context.CancelFunc
	answering bool // the final head was written

	patience *patience // the context of filters
	forward  forward
	request  requestBody
	istio    []telemetry.IstioCache
}

// serve does all of it. The head of the request is in c.x.
func (c *call) serve() {
	c.begin()
	c.carryOut()
}

// carryOut is serve after its beginning.
func (c *call) carryOut() {
	if reply := c.decide(); reply != nil {
		c.local(reply)
	}
	c.request.stop(c)
	c.end()
}

func (c *call) begin() {
	c.stats.RqTotal.Add(1)
	c.stats.RqActive.Add(1)
	c.random = c.engine.opts.Random()
	c.mu.Lock()
	c.answering = false
	c.mu.Unlock()
	c.request.reset()
	c.request.finished.Store(!c.x.Request.HasBody)
	c.startTimers()
}

// startTimers arms what the manager says, and the look at whether the client is still there.
func (c *call) startTimers() {
	c.timers.reset()
	now := c.now()
	c.timers.at[goneDeadline].Store(now + int64(goneAfter))
	cfg := c.m.cfg
	if cfg.StreamIdleTimeout > 0 {
		c.timers.moved.Store(now)
		c.timers.idle.Store(int64(cfg.StreamIdleTimeout))
		c.timers.at[idleDeadline].Store(now + int64(cfg.StreamIdleTimeout))
	}
	if cfg.RequestTimeout > 0 {
		c.arm(requestDeadline, cfg.RequestTimeout)
	}
	if cfg.MaxStreamDuration > 0 {
		c.arm(streamDeadline, cfg.MaxStreamDuration)
	}
	c.watch.set(c.timers.next())
	if c.timers.has(headDeadline.cause()) { // it passed as the head became whole
		c.timers.causes.Store(0)
		c.down.Resume()
	}
}

// moved tells that bytes go through.
func (c *call) moved() { c.timers.moved.Store(c.engine.wheel.now.Load()) }

// decide does with the request what is to be done. It returns an answer if it is this proxy's own; nil: it was answered,
// or can't be.
func (c *call) decide() *Reply {
	if reply := c.prepare(); reply != nil {
		return reply
	}
	x := c.x
	c.routes = c.m.routes()
	x.Table = c.routes.Table()
	x.VirtualHost, x.Route = c.routes.Match(x, c.random, nil)
	c.choose()
	c.engine.opts.Tap.Request(x)
	if c.m.cfg.Tracing != nil {
		c.trace()
	}
	if reply := c.refuseUpgrade(); reply != nil {
		return reply
	}
	if c.m.filters != nil {
		if reply := c.filter(); reply != nil {
			return reply
		}
	}
	switch r := x.Route; {
	case r == nil:
		c.m.stats.NoRoute.Add(1)
		return noRoute
	case r.Redirect != nil:
		c.m.stats.RqRedirect.Add(1)
		return c.redirect(r)
	case r.Direct != nil:
		c.m.stats.RqDirectResponse.Add(1)
		return &Reply{Status: int(r.Direct.Status), Body: r.Direct.Body, Details: "direct_response"}
	default:
		return c.send()
	}
}

// choose chooses the cluster, before the filters: they have configuration by weighted cluster, and ask for its name.
func (c *call) choose() {
	x := c.x
	if x.Route == nil || x.Route.Forward == nil {
		return
	}
	x.ClusterName, x.Weighted = route.Choose(x.Route.Forward, x, c.random, nil)
	if t := c.target(x.ClusterName); t != nil {
		x.Cluster = t.cluster.Config()
	}
}

// rematch chooses route and cluster anew.
func (c *call) rematch() {
	x := c.x
	x.VirtualHost, x.Route = c.routes.Match(x, c.random, nil)
	x.Cluster, x.ClusterName, x.Weighted = nil, "", nil
	c.choose()
}

// filter runs the filters. They may wait; when the client goes meanwhile, they are told.
func (c *call) filter() *Reply {
	reply := c.m.filters.Request(c.patience, c.x, nil)
	c.waited()
	switch {
	case c.timers.causes.Load() != 0:
		return c.cutReply()
	case reply == nil:
		return c.refuseUpgrade() // it may be another route's now
	}
	return &Reply{
		Status: reply.Status, Body: reply.Body, Details: reply.Details, Flags: reply.Flags, Fields: reply.Fields,
		GRPCStatus: reply.GRPCStatus,
	}
}

func (c *call) redirect(r *config.Route) *Reply {
	code := int(r.Redirect.Code)
	if code == 0 {
		code = 301
	}
	return &Reply{
		Status: code, Details: "direct_response",
		Fields: []stream.Field{{Name: "location", Value: route.Location(r.Redirect, &r.Match, c.x)}},
	}
}

// end counts and logs the request.
func (c *call) end() {
	x := c.x
	c.watch.set(0)
	x.End = time.Since(x.Start)
	c.stats.RqActive.Add(-1)
	if !x.HealthCheck {
		c.stats.Response(x.Response.Status, x.End)
	}
	if c.m.filters != nil {
		c.m.filters.End(x)
	}
	c.m.count(x, c.istio)
	c.m.logs.Log(x)
	if x.Span != nil {
		c.m.tracer.End(x)
	}
	c.engine.opts.Tap.End(x)
	if x.Throttle != nil {
		x.Throttle.End()
	}
	c.forward.end(c)
}
