package telemetry

import (
	"bytes"
	"cmp"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/pillion-mesh/pillion/internal/ops/exposition"
)

// Text returns all metrics in Prometheus's text format. Names and labels are the ones users of Envoy and Istio have in
// their dashboards. started is when the process began to serve.
func (s *Store) Text(started, now time.Time, live bool) []byte {
	var b bytes.Buffer
	w := exposition.NewWriter(&b)
	s.writeServer(w, started, now, live)
	writeFamilies(w, s, s.listeners, listenerFamilies, "listener_address")
	writeFamilies(w, s, s.clusters, clusterFamilies, "cluster_name")
	writeFamilies(w, s, s.prefixes, prefixFamilies, "tcp_prefix")
	s.writeSeries(w)
	return b.Bytes()
}

// family is one metric of every object of type T.
type family[T any] struct {
	name, kind string
	value      func(*T) float64
}

func writeFamilies[T any](w *exposition.Writer, s *Store, in map[string]*T, families []family[T], label string) {
	names, objects := snapshot(s, in, cmp.Compare[string])
	for _, f := range families {
		w.Family(f.name, f.kind, "")
		for i, name := range names {
			w.Sample(f.name, f.value(objects[i]), label, name)
		}
	}
}

func counted(c *Counter) float64 { return float64(c.Load()) }

var listenerFamilies = []family[Listener]{
	{"envoy_listener_downstream_cx_total", exposition.Counter, func(l *Listener) float64 { return counted(&l.CxTotal) }},
	{"envoy_listener_downstream_cx_destroy", exposition.Counter, func(l *Listener) float64 { return counted(&l.CxDestroy) }},
	{"envoy_listener_downstream_cx_active", exposition.Gauge, func(l *Listener) float64 { return float64(l.CxActive.Load()) }},
	{"envoy_listener_downstream_global_cx_overflow", exposition.Counter, func(l *Listener) float64 { return counted(&l.CxOverflow) }},
	{"envoy_listener_no_filter_chain_match", exposition.Counter, func(l *Listener) float64 { return counted(&l.NoFilterChain) }},
	{"envoy_listener_pillion_no_original_dst", exposition.Counter, func(l *Listener) float64 { return counted(&l.NoOrigin) }},
}

var clusterFamilies = []family[Cluster]{
	{"envoy_cluster_upstream_cx_total", exposition.Counter, func(c *Cluster) float64 { return counted(&c.CxTotal) }},
	{"envoy_cluster_upstream_cx_destroy", exposition.Counter, func(c *Cluster) float64 { return counted(&c.CxDestroy) }},
	{"envoy_cluster_upstream_cx_active", exposition.Gauge, func(c *Cluster) float64 { return float64(c.CxActive.Load()) }},
	{"envoy_cluster_upstream_cx_connect_fail", exposition.Counter, func(c *Cluster) float64 { return counted(&c.CxConnectFail) }},
	{"envoy_cluster_upstream_cx_connect_timeout", exposition.Counter, func(c *Cluster) float64 { return counted(&c.CxConnectLimit) }},
	{"envoy_cluster_upstream_cx_none_healthy", exposition.Counter, func(c *Cluster) float64 { return counted(&c.CxNoneHealthy) }},
	{"envoy_cluster_upstream_cx_rx_bytes_total", exposition.Counter, func(c *Cluster) float64 { return counted(&c.RxBytes) }},
	{"envoy_cluster_upstream_cx_tx_bytes_total", exposition.Counter, func(c *Cluster) float64 { return counted(&c.TxBytes) }},
}

var prefixFamilies = []family[TCPPrefix]{
	{"envoy_tcp_downstream_cx_total", exposition.Counter, func(p *TCPPrefix) float64 { return counted(&p.CxTotal) }},
	{"envoy_tcp_downstream_cx_rx_bytes_total", exposition.Counter, func(p *TCPPrefix) float64 { return counted(&p.RxBytes) }},
	{"envoy_tcp_downstream_cx_tx_bytes_total", exposition.Counter, func(p *TCPPrefix) float64 { return counted(&p.TxBytes) }},
	{"envoy_tcp_idle_timeout", exposition.Counter, func(p *TCPPrefix) float64 { return counted(&p.IdleTimeout) }},
}

var seriesFamilies = []family[Series]{
	{"istio_tcp_connections_opened_total", exposition.Counter, func(s *Series) float64 { return counted(&s.Opened) }},
	{"istio_tcp_connections_closed_total", exposition.Counter, func(s *Series) float64 { return counted(&s.Closed) }},
	{"istio_tcp_sent_bytes_total", exposition.Counter, func(s *Series) float64 { return counted(&s.Sent) }},
	{"istio_tcp_received_bytes_total", exposition.Counter, func(s *Series) float64 { return counted(&s.Received) }},
}

func (s *Store) writeSeries(w *exposition.Writer) {
	keys, series := snapshot(s, s.series, seriesKey.compare)
	for _, f := range seriesFamilies {
		w.Family(f.name, f.kind, "")
		for i, key := range keys {
			w.Sample(f.name, f.value(series[i]), key.labels(s.Labels)...)
		}
	}
}

func (s *Store) writeServer(w *exposition.Writer, started, now time.Time, live bool) {
	state, alive := 1.0, 0.0 // Envoy: 0 LIVE, 1 DRAINING
	if live {
		state, alive = 0, 1
	}
	heap, mapped := memory()
	w.Gauge("envoy_server_live", "", alive)
	w.Gauge("envoy_server_state", "", state)
	w.Gauge("envoy_server_uptime", "", now.Sub(started).Truncate(time.Second).Seconds())
	w.Gauge("envoy_server_concurrency", "", float64(runtime.GOMAXPROCS(0)))
	w.Gauge("envoy_server_memory_allocated", "", heap)
	w.Gauge("envoy_server_memory_heap_size", "", mapped)
	w.Gauge("envoy_server_hot_restart_epoch", "", float64(s.Epoch))
	w.Gauge("envoy_server_total_connections", "", float64(s.Server.TotalConnections.Load()))
	w.Counter("envoy_pillion_panic", "Connections closed because handling them panicked.", counted(&s.Server.Panics))
	w.Counter("envoy_pillion_self_dial_refused", "Connections whose destination was a port of this sidecar.", counted(&s.Server.SelfDials))
	w.Counter("envoy_pillion_accept_paused", "Pauses of 100 ms because the process had no file descriptor left.", counted(&s.Server.AcceptPauses))
	w.Counter("envoy_pillion_access_log_dropped", "Access log lines dropped because the log could not be written.", counted(&s.Server.LogLinesDropped))
	w.Counter("envoy_pillion_spliced_bytes_total", "Bytes moved between sockets inside the kernel.", counted(&s.Server.SplicedBytes))
	w.Family("istio_build", exposition.Gauge, "")
	w.Sample("istio_build", 1, "component", "proxy", "tag", s.Labels.Build)
}

// memory returns bytes of live heap objects and of memory the Go runtime holds. runtime/metrics doesn't stop the
// world, as runtime.ReadMemStats would.
func memory() (heap, mapped float64) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return float64(samples[0].Value.Uint64()), float64(samples[1].Value.Uint64() - samples[2].Value.Uint64())
}
