package proxy

import (
	"context"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/tcp"
	"github.com/pillion-mesh/pillion/internal/proxy/tracing"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

func (s *Server) newHTTP() *http.Engine {
	return http.New(http.Options{
		Upstreams: s.upstream, Store: s.store, Logs: s.logs, Tap: s.tap, Now: s.opts.Now, Runtime: s.runtimeValue, Tracer: s.tracer, Guard: s.guard.run,
		DrainTime: s.opts.DrainTime,
		Filters: func(m *config.HTTPManager) (http.Filters, error) {
			return httpfilter.Compile(m, s.deps(m))
		},
	})
}

// tunnel asks for a tunnel of HTTP for a connection that isn't.
func (s *Server) tunnel(ctx context.Context, c *upstream.Cluster, h *upstream.Host, ask *stream.Exchange) (tcp.Tunnel, error) {
	l, err := s.http.Link(ctx, c, h, ask)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// newTracing makes what exports spans: by the engine, to the configuration's clusters.
func (s *Server) newTracing() *tracing.Exporter {
	o := tracing.Options{Send: s.http.Call, Store: s.store, Version: s.opts.Version}
	if b := s.opts.Bootstrap; b != nil {
		o.Node, o.Default = tracing.Node{ID: b.Node.ID, Cluster: b.Node.Cluster, Zone: b.Node.Zone}, b.Tracing
	}
	return tracing.New(o)
}

// tracer is what traces a manager's requests; nil: nothing does.
func (s *Server) tracer(m *config.HTTPManager) http.Tracer {
	if t := s.tracing.Tracer(m); t != nil {
		return t
	}
	return nil
}

// deps is what filters of a manager are given of the world outside.
func (s *Server) deps(m *config.HTTPManager) httpfilter.Deps {
	return httpfilter.Deps{
		Now: s.opts.Now, Runtime: s.runtimeValue, Self: s.opts.Self, Body: s.http.Body, Call: s.http.Call,
		Go: func(f func()) { s.loops.Go(f) },
		Counter: func(name string) func() {
			c := s.store.Counter("http." + m.StatPrefix + "." + name)
			return func() { c.Add(1) }
		},
	}
}

// runtimeValue is a runtime key's value in parts of a million, if it is set.
func (s *Server) runtimeValue(key string) (perMillion uint32, set bool) {
	const unset = 1<<32 - 1 // more than a million
	value := s.values.PerMillion(key, unset)
	return value, value != unset
}
