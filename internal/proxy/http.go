package proxy

import (
	"context"
	"net"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter"
	"github.com/pillion-mesh/pillion/internal/proxy/remotelog"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/tcp"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/tracing"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

func (s *Server) newHTTP() *http.Engine {
	return http.New(http.Options{
		Upstreams: s.upstream, Store: s.store, Logs: s.logs, Tap: s.tap, Now: s.opts.Now, Runtime: s.runtimeValue, Tracer: s.tracer, Guard: s.guard.run,
		DrainTime: s.opts.DrainTime, CloseAfter: s.opts.CloseAfter,
		Filters: func(m *config.HTTPManager) (http.Filters, error) {
			return httpfilter.Compile(m, s.deps(m))
		},
	})
}

// admitHTTP serves a connection that the network filters of its chain let in.
func (s *Server) admitHTTP(c *stream.Conn, down net.Conn, wake func(func() (parked bool))) (parked bool) {
	leave, ok := s.tcp.Admit(c)
	if !ok {
		_ = down.Close()
		return false
	}
	c.Left = leave
	return s.http.ServeOrPark(c, down, wake)
}

// tunnel asks for a tunnel of HTTP for a connection that isn't.
func (s *Server) tunnel(ctx context.Context, c *upstream.Cluster, h *upstream.Host, ask *stream.Exchange) (tcp.Tunnel, error) {
	l, err := s.http.Link(ctx, c, h, ask)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// newRemoteLogs makes what tells collectors of access logs: by the engine, to the configuration's clusters.
func (s *Server) newRemoteLogs() *remotelog.Exporter {
	o := remotelog.Options{Send: s.http.Call, Store: s.store, Version: s.opts.Version}
	if b := s.opts.Bootstrap; b != nil {
		o.Node = remotelog.Node{Raw: b.Node.Raw, ID: b.Node.ID, Cluster: b.Node.Cluster, Zone: b.Node.Zone}
	}
	return remotelog.New(o)
}

// remoteLog is called when there is configuration, after New has made everything.
func (s *Server) remoteLog(c *config.RemoteLog) func(*stream.Exchange) { return s.remote.Log(c) }

// newTracing makes what exports spans, in the same way.
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
		Now: s.opts.Now, Runtime: s.runtimeValue, Self: s.opts.Self, Body: s.http.Body, Call: s.http.Call, Resolve: s.upstream.Resolve,
		Go: func(f func()) { s.loops.Go(f) }, Cluster: s.clusterCounters, Unhealthy: s.unhealthy, Members: s.members,
		Counter: func(name string) func() {
			c := s.store.HTTPCounter(m.StatPrefix, name)
			return func() { c.Add(1) }
		},
		Gauge: func(name string) func(int64) {
			g := s.store.HTTPGauge(m.StatPrefix, name)
			return func(delta int64) { g.Add(delta) }
		},
	}
}

// clusterCounters are those of a cluster; nil: there is no such cluster.
func (s *Server) clusterCounters(name string) *telemetry.Cluster {
	if c := s.upstream.Cluster(name); c != nil {
		return c.Stats
	}
	return nil
}

// members are how many hosts a cluster has, and how many of them are healthy or degraded.
func (s *Server) members(cluster string) (total, available int64, there bool) {
	c := s.upstream.Cluster(cluster)
	if c == nil {
		return 0, 0, false
	}
	total, available = c.Members()
	return total, available, true
}

// unhealthy reports whether load balancers are to send clients elsewhere.
func (s *Server) unhealthy() bool { return s.draining.Load() || s.failing.Load() }

// runtimeValue is a runtime key's value in parts of a million, if it is set.
func (s *Server) runtimeValue(key string) (perMillion uint32, set bool) {
	const unset = 1<<32 - 1 // more than a million
	value := s.values.PerMillion(key, unset)
	return value, value != unset
}
