// Package telemetry counts what the proxy does and says it: counters with fixed places, Prometheus text, access log
// lines. Events of connections come in; text goes out. Counters are fields reached by pointer, so that a connection
// costs no map look-up and no string once it has its objects. Read this file first, then prometheus.go.
package telemetry

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Counter only grows.
type Counter = atomic.Uint64

// Gauge goes up and down.
type Gauge = atomic.Int64

// Server are the counters of the process.
type Server struct {
	TotalConnections Gauge
	Panics           Counter
	SelfDials        Counter
	AcceptPauses     Counter
	LogLinesDropped  Counter
	SplicedBytes     Counter
}

// Listener are the counters of one listener.
type Listener struct {
	Address                 string // as Envoy writes it: 0.0.0.0_15001
	CxTotal, CxDestroy      Counter
	CxActive                Gauge
	CxOverflow              Counter // refused because of the limit of connections
	NoFilterChain, NoOrigin Counter
	PreCxTimeout            Counter // closed because its first bytes didn't come in time
	TLSHandshakes           Counter
	TLSErrors               Counter
}

// Cluster are the counters of one cluster.
type Cluster struct {
	Name                          string
	CxTotal, CxDestroy            Counter
	CxActive                      Gauge
	CxConnectFail, CxConnectLimit Counter
	CxNoneHealthy                 Counter
	RxBytes, TxBytes              Counter // received from and sent to upstreams
}

// TCPPrefix are the counters of the TCP proxies with one stat prefix.
type TCPPrefix struct {
	Prefix           string
	CxTotal          Counter
	RxBytes, TxBytes Counter // received from and sent to downstreams
	IdleTimeout      Counter
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
	series    map[seriesKey]*Series
}

// NewStore returns an empty store.
func NewStore(epoch int, labels Labels) *Store {
	return &Store{
		Epoch: epoch, Labels: labels.withUnknowns(),
		listeners: map[string]*Listener{}, clusters: map[string]*Cluster{}, prefixes: map[string]*TCPPrefix{},
		series: map[seriesKey]*Series{},
	}
}

// Listener returns the counters of the listener at address (IP:port), making them on first use.
func (s *Store) Listener(address string) *Listener {
	address = envoyAddress(address)
	return findOrAdd(s, s.listeners, address, func() *Listener { return &Listener{Address: address} })
}

// Cluster returns the counters of a cluster, making them on first use.
func (s *Store) Cluster(name string) *Cluster {
	return findOrAdd(s, s.clusters, name, func() *Cluster { return &Cluster{Name: name} })
}

// TCPPrefix returns the counters of a stat prefix, making them on first use.
func (s *Store) TCPPrefix(prefix string) *TCPPrefix {
	return findOrAdd(s, s.prefixes, prefix, func() *TCPPrefix { return &TCPPrefix{Prefix: prefix} })
}

// Series returns the counters for connections of a reporter to a cluster that ended with flags.
func (s *Store) Series(reporter, cluster string, flags stream.Flags) *Series {
	return findOrAdd(s, s.series, seriesKey{reporter, cluster, flags.String()}, func() *Series { return &Series{} })
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
