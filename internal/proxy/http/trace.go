package http

import "github.com/pillion-mesh/pillion/internal/proxy/http/route"

// trace decides whether the request is traced, names what it does, and begins its span.
func (c *call) trace() {
	switch route.SampleTrace(c.m.cfg, c.x, c.engine.opts.Runtime) {
	case route.TraceByClient:
		c.m.stats.TracingClient.Add(1)
	case route.TraceByServer:
		c.m.stats.TracingForced.Add(1)
	case route.TraceSampled:
		c.m.stats.TracingRandom.Add(1)
	default:
		c.m.stats.TracingNot.Add(1)
	}
	route.Decorate(c.x)
	if c.m.tracer != nil {
		c.m.tracer.Begin(c.x)
	}
}
