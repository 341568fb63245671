// Package telemetry counts what the proxy does and says it: counters with fixed places, Prometheus text, access log
// lines. Events of connections and requests come in; text goes out. Counters are fields reached by pointer, so that a
// connection costs no map look-up and no string once it has its objects. Read this file first, then cluster.go and
// http.go (what is counted), istio.go, prometheus.go and stats.go (how it is said), logs.go (access logs).
package telemetry

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Counter only grows.
type Counter = atomic.Uint64

// Gauge goes up and down.
type Gauge = atomic.Int64

// Server are the counters of the process. The tags are the whole names.
type Server struct {
	TotalConnections Gauge   `stat:"server.total_connections"`
	Panics           Counter `stat:"pillion.panic"`             // connections closed because handling them panicked
	SelfDials        Counter `stat:"pillion.self_dial_refused"` // their destination was a port of this sidecar
	AcceptPauses     Counter `stat:"pillion.accept_paused"`     // of 100 ms, because no file descriptor was left
	LogLinesDropped  Counter `stat:"pillion.access_log_dropped"`
	SplicedBytes     Counter `stat:"pillion.spliced_bytes_total"` // moved between sockets inside the kernel
}

// Listener are the counters of one listener. The tags are Envoy's names below `listener.ADDRESS.`.
type Listener struct {
	Address          string    // as Envoy writes it: 0.0.0.0_15001
	CxTotal          Counter   `stat:"downstream_cx_total"`
	CxDestroy        Counter   `stat:"downstream_cx_destroy"`
	CxActive         Gauge     `stat:"downstream_cx_active"`
	CxOverflow       Counter   `stat:"downstream_global_cx_overflow"` // refused because of the limit of connections
	NoFilterChain    Counter   `stat:"no_filter_chain_match"`
	NoOrigin         Counter   `stat:"pillion_no_original_dst"`
	PreCxTimeout     Counter   `stat:"downstream_pre_cx_timeout"` // listener filters took too long
	PreCxActive      Gauge     `stat:"downstream_pre_cx_active"`
	FilterError      Counter   `stat:"downstream_listener_filter_error"`
	FilterGone       Counter   `stat:"downstream_listener_filter_remote_close"`
	HandshakeTimeout Counter   `stat:"downstream_cx_transport_socket_connect_timeout"`
	CxLengthMs       Histogram `stat:"downstream_cx_length_ms"`
	TLS              TLSStats  `stat:"ssl."`
}

// TCPPrefix are the counters of the TCP proxies with one stat prefix. The tags are Envoy's names below `tcp.PREFIX.`.
type TCPPrefix struct {
	Prefix                string
	CxTotal               Counter `stat:"downstream_cx_total"`
	NoRoute               Counter `stat:"downstream_cx_no_route"`
	RxBytes               Counter `stat:"downstream_cx_rx_bytes_total"` // received from downstreams
	TxBytes               Counter `stat:"downstream_cx_tx_bytes_total"`
	IdleTimeout           Counter `stat:"idle_timeout"`
	MaxDuration           Counter `stat:"max_downstream_connection_duration"`
	DrainClose            Counter `stat:"downstream_cx_drain_close"`
	MetadataExchangeError Counter `stat:"pillion_mx_error"`
}

// Store holds all counters of a process.
type Store struct {
	Server Server
	Epoch  int
	Labels Labels // this workload, for Istio's metrics

	mu        sync.Mutex
	listeners map[string]*Listener
	clusters  map[string]*Cluster
	prefixes  map[string]*TCPPrefix
	https     map[string]*HTTP
	counters  map[string]*Counter
	gauges    map[string]*Gauge
	texts     map[string]*atomic.Pointer[string]
	istio     istioSeries
	matcher   atomic.Pointer[Matcher]
	tags      string // labels of each sample
	lookups   Lookups
	readers   []func() // bring numbers up to date that somebody else keeps
}

// NewStore returns an empty store.
func NewStore(epoch int, labels Labels) *Store {
	return &Store{
		Epoch: epoch, Labels: labels.withUnknowns(),
		listeners: map[string]*Listener{}, clusters: map[string]*Cluster{}, prefixes: map[string]*TCPPrefix{},
		https:    map[string]*HTTP{},
		counters: map[string]*Counter{}, gauges: map[string]*Gauge{}, texts: map[string]*atomic.Pointer[string]{},
	}
}

// Listener returns the counters of the listener at address (IP:port), making them on first use.
func (s *Store) Listener(address string) *Listener {
	address = envoyAddress(address)
	return findOrAdd(s, s.listeners, address, func() *Listener { return &Listener{Address: address} })
}

// Cluster returns the counters of a cluster, making them on first use.
func (s *Store) Cluster(name string) *Cluster {
	s.lookups.note("cluster.", name)
	return findOrAdd(s, s.clusters, name, func() *Cluster { return &Cluster{Name: name, shards: newShards[ClusterShard]()} })
}

// OnRead has f called before statistics are told, to bring up to date what isn't counted here: versions, numbers of
// warming clusters, bytes of open connections. f may use the Store.
func (s *Store) OnRead(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers = append(s.readers, f)
}

func (s *Store) refresh() {
	s.mu.Lock()
	readers := s.readers
	s.mu.Unlock()
	for _, f := range readers {
		f()
	}
}

// ForgetCluster takes the counters of a cluster that is gone out of what is told. Who still holds them may go on
// counting, unseen.
func (s *Store) ForgetCluster(c *Cluster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clusters[c.Name] == c {
		delete(s.clusters, c.Name)
	}
}

// HTTP returns the counters of a connection manager's stat prefix, making them on first use.
func (s *Store) HTTP(prefix string) *HTTP {
	s.lookups.note("http.", prefix)
	return findOrAdd(s, s.https, prefix, func() *HTTP { return &HTTP{Prefix: prefix, shards: newShards[HTTPShard]()} })
}

// TCPPrefix returns the counters of a stat prefix, making them on first use.
func (s *Store) TCPPrefix(prefix string) *TCPPrefix {
	s.lookups.note("tcp.", prefix)
	return findOrAdd(s, s.prefixes, prefix, func() *TCPPrefix { return &TCPPrefix{Prefix: prefix} })
}

// Counter returns the counter with that whole name, as Envoy names it (listener_manager.lds.update_success), making it
// on first use. Callers keep the pointer: it is for what has no struct here, and not for asking again at each event.
func (s *Store) Counter(name string) *Counter {
	s.lookups.note("", name)
	return findOrAdd(s, s.counters, name, func() *Counter { return new(Counter) })
}

// Gauge is Counter for what goes up and down.
func (s *Store) Gauge(name string) *Gauge {
	s.lookups.note("", name)
	return findOrAdd(s, s.gauges, name, func() *Gauge { return new(Gauge) })
}

// SetText sets a text readout: a version, the name of a control plane.
func (s *Store) SetText(name, value string) {
	findOrAdd(s, s.texts, name, func() *atomic.Pointer[string] { return new(atomic.Pointer[string]) }).Store(&value)
}

func findOrAdd[K comparable, T any](s *Store, in map[K]*T, key K, add func() *T) *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := in[key]; ok {
		return found
	}
	made := add()
	in[key] = made
	return made
}

// snapshot returns the objects of a map in a stable order.
func snapshot[K comparable, T any](s *Store, in map[K]*T, compare func(a, b K) int) ([]K, []*T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(in), compare)
	objects := make([]*T, len(keys))
	for i, key := range keys {
		objects[i] = in[key]
	}
	return keys, objects
}

// envoyAddress writes an address as Envoy does in the names of listener statistics: colons become underscores.
func envoyAddress(address string) string { return strings.ReplaceAll(address, ":", "_") }
