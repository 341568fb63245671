package source

import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// drop forgets an entry.
func (s *Source) drop(e *entry) {
	delete(s.tables[e.kind], e.name)
	delete(s.warming, e)
	delete(s.doomed, e)
	s.stale = true
	s.dirty = s.dirty || e.active != nil
}

// removeCluster lets a cluster go, at once or when nothing active names it any more: control planes remove clusters
// before the listeners and routes that name them have changed.
func (s *Source) removeCluster(e *entry) {
	if e.active == nil {
		s.drop(e)
		return
	}
	delete(s.warming, e)
	e.warming, e.refused = nil, nil
	s.doomed[e] = struct{}{}
	s.stale, s.moved = true, true
}

// absent is told of a resource that is named by others and that the control plane says isn't there. What is in use
// stays; who waits for endpoints waits no longer.
func (s *Source) absent(r resource) {
	delete(s.tables[r.kind], r.name)
	if _, wanted := s.wanted[endpoints][r.name]; r.kind == endpoints && wanted && !s.cells.filled(r) {
		cellOf(s.cells.endpoints, r.name).Store(&config.Endpoints{})
		s.arrived(r)
	}
}

// releaseDoomed drops the removed clusters that nothing active names.
func (s *Source) releaseDoomed() {
	if len(s.doomed) == 0 {
		return
	}
	named := s.named()
	for e := range s.doomed {
		if !named[e.name] {
			s.drop(e)
		}
	}
}

// named are the clusters that active listeners and their routes name.
func (s *Source) named() map[string]bool {
	names := namedClusters{}
	for _, e := range s.tables[listeners] {
		if e.active != nil {
			names.listener(e.active.listener)
		}
	}
	return names
}

// namedClusters collects names of clusters.
type namedClusters map[string]bool

func (n namedClusters) listener(l *config.Listener) {
	for _, c := range l.Chains {
		n.chain(c)
	}
	n.chain(l.Default)
}

func (n namedClusters) chain(c *config.Chain) {
	if c == nil {
		return
	}
	if c.TCP != nil {
		for _, w := range c.TCP.Clusters {
			n[w.Name] = true
		}
	}
	if c.HTTP == nil {
		return
	}
	for _, f := range c.HTTP.Filters {
		n.filter(f.Config)
		if f.Late != nil && f.Late.Load() != nil {
			n.filter(f.Late.Load().Config)
		}
	}
	if c.HTTP.Routes != nil {
		n.table(c.HTTP.Routes.Load())
	}
}

// filter knows the filters that call a cluster of their own.
func (n namedClusters) filter(f any) {
	switch f := f.(type) {
	case *config.ExtAuthz:
		n[f.GRPCCluster], n[f.HTTPCluster] = true, true
	case *config.JWT:
		for _, p := range f.Providers {
			n[p.RemoteCluster] = true
		}
	case *config.Fault:
		n[f.UpstreamCluster] = true
	}
}
