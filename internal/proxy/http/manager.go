package http

import (
	"sync/atomic"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/h1"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// manager is what was derived of one config.HTTPManager. It lives as long as the configuration names it or a connection
// uses it.
type manager struct {
	cfg   *config.HTTPManager
	stats *telemetry.HTTP
	logs  *telemetry.LogSet
	// upstreamLogs are the router's, with a line for each attempt; nil: none.
	upstreamLogs *telemetry.LogSet
	filters      Filters // nil: none
	tracer       Tracer  // nil: none
	runtime      route.Runtime
	istio        []*telemetry.Istio
	local        *localReplies // nil: answers stay as they are
	h1           h1.ServerOptions
	index        atomic.Pointer[indexed]
	draining     atomic.Int64 // since when the configuration doesn't name it, in the wheel's time
	users        atomic.Int64
}

// indexed is a route table's index.
type indexed struct {
	table *config.RouteTable
	*route.Index
}

// routes is the index of the routes there are now.
func (m *manager) routes() *indexed {
	var table *config.RouteTable
	if m.cfg.Routes != nil {
		table = m.cfg.Routes.Load()
	}
	have := m.index.Load()
	if have == nil || have.table != table {
		have = &indexed{table, route.NewIndex(table)}
		have.Runtime = m.runtime
		m.index.Store(have)
	}
	return have
}

// manager returns what serves cfg, with one more user.
func (e *Engine) manager(cfg *config.HTTPManager) (*manager, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.managers[cfg]
	if m == nil {
		var err error
		if m, err = e.newManager(cfg); err != nil {
			return nil, err
		}
		e.managers[cfg] = m
	}
	m.users.Add(1)
	return m, nil
}

func (e *Engine) newManager(cfg *config.HTTPManager) (*manager, error) {
	m := &manager{cfg: cfg, stats: e.opts.Store.HTTP(cfg.StatPrefix), runtime: e.opts.Runtime, h1: h1.ServerOptions{
		Limits: h1.Limits{Bytes: int(cfg.MaxHeadBytes), Fields: int(cfg.MaxHeaders)},
		HTTP10: cfg.AcceptHTTP10, DefaultHost: cfg.DefaultHostHTTP10, Underscores: cfg.Underscores, PreserveCase: cfg.PreserveCase,
	}}
	if e.opts.Logs != nil {
		m.logs = e.opts.Logs.For(cfg.AccessLogs)
		if list := cfg.Router.UpstreamLogs; len(list) > 0 {
			m.upstreamLogs = e.opts.Logs.For(list)
		}
	}
	for i := range cfg.Filters {
		if stats, ok := cfg.Filters[i].Config.(*config.IstioStats); ok && !cfg.Filters[i].Disabled {
			m.istio = append(m.istio, e.opts.Store.Istio(stats))
		}
	}
	if e.opts.Tracer != nil && cfg.Tracing != nil {
		m.tracer = e.opts.Tracer(cfg)
	}
	var err error
	if m.local, err = e.newLocalReplies(cfg.LocalReplies); err != nil || e.opts.Filters == nil {
		return m, err
	}
	m.filters, err = e.opts.Filters(cfg)
	return m, err
}

// Apply makes runtime the configuration: connections of managers it doesn't have are drained.
func (e *Engine) Apply(runtime *config.Runtime) {
	named := map[*config.HTTPManager]bool{}
	for l := range runtime.Listeners {
		for _, chain := range append(l.Chains[:len(l.Chains):len(l.Chains)], l.Default) {
			if chain != nil && chain.HTTP != nil {
				named[chain.HTTP] = true
			}
		}
	}
	now := max(1, e.wheel.since(e.opts.Now()))
	e.mu.Lock()
	defer e.mu.Unlock()
	e.runtime = runtime
	removed := false
	for cfg, m := range e.managers {
		switch {
		case named[cfg]:
			m.draining.Store(0)
		case m.users.Load() == 0:
			delete(e.managers, cfg)
		default:
			m.draining.CompareAndSwap(0, now)
			removed = true
		}
	}
	e.removed.Store(removed)
}

// count adds a finished request to Istio's metrics.
func (m *manager) count(x *stream.Exchange, caches []telemetry.IstioCache) {
	for i, each := range m.istio {
		each.Series(x, &caches[i]).Request(x)
	}
}
