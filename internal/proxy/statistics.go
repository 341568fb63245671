package proxy

import (
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// configureStatistics obeys the bootstrap's stats_config.
func (s *Server) configureStatistics() {
	b := s.opts.Bootstrap
	if b == nil {
		return
	}
	if m := b.StatsMatcher; m.RejectAll || len(m.Include)+len(m.Exclude) > 0 {
		s.store.SetMatcher(&telemetry.Matcher{Include: m.Include, Exclude: m.Exclude, None: m.RejectAll})
	}
	var pairs []string
	for _, tag := range b.StatsTags {
		pairs = append(pairs, tag.Name, tag.Value)
	}
	s.store.SetTags(pairs...)
}

// managers are the prefixes under which Envoy counts what it hears of clusters and of listeners.
var managers = []struct{ prefix, typeURL string }{
	{"cluster_manager.cds.", xdsclient.TypeCluster},
	{"listener_manager.lds.", xdsclient.TypeListener},
}

// bringUpToDate tells the store what isn't counted as it happens. It runs before statistics are told.
func (s *Server) bringUpToDate() {
	s.tcp.FlushCounters()
	for _, m := range managers {
		c := s.source.Counters(m.typeURL)
		for name, value := range map[string]uint64{
			"update_attempt": c.Attempt, "update_success": c.Success, "update_failure": c.Failure, "update_rejected": c.Rejected,
		} {
			s.store.Counter(m.prefix + name).Store(value)
		}
		s.store.SetText(m.prefix+"version_text", c.Version)
	}
	warmingClusters, warmingListeners := s.source.Warming()
	s.store.Gauge("cluster_manager.warming_clusters").Store(int64(warmingClusters))
	s.store.Gauge("listener_manager.total_listeners_warming").Store(int64(warmingListeners))
	clusters, listeners := 0, 0
	runtime := s.source.Runtime().Load()
	for range runtime.Clusters {
		clusters++
	}
	for range runtime.Listeners {
		listeners++
	}
	s.store.Gauge("cluster_manager.active_clusters").Store(int64(clusters))
	s.store.Gauge("listener_manager.total_listeners_active").Store(int64(listeners))
	s.store.Gauge("listener_manager.workers_started").Store(1)
	connected := int64(0)
	if s.source.Connected() {
		connected = 1
	}
	s.store.Gauge("control_plane.connected_state").Store(connected)
	s.store.Counter("pillion.config.skipped").Store(s.source.Skipped())
	s.store.Counter("pillion.config.degraded").Store(s.source.Degraded())
}
