package telemetry

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// mostMethods is how many gRPC methods of a cluster are counted by themselves. Clients choose the names.
	mostMethods = 256
	// longestMethod is how long service and method may be together, in bytes.
	longestMethod = 256
	// lastGRPCStatus is UNAUTHENTICATED.
	lastGRPCStatus = 16
)

// GRPC counts the gRPC calls to a cluster, all of them or those of one method.
type GRPC struct {
	name   string // service.method. or nothing
	labels string
	shards shards[grpcCounts]
	time   atomic.Pointer[Histogram] // nil: nobody wanted it
}

// grpcCounts are Envoy's names below grpc.SERVICE.METHOD.
type grpcCounts struct {
	success, failure, total Counter
	requests, responses     Counter // messages
	status                  [lastGRPCStatus + 1]Counter
	_                       [64]byte // the next object doesn't share our cache line
}

// grpcCalls are those of a cluster.
type grpcCalls struct {
	all     atomic.Pointer[GRPC]
	mu      sync.RWMutex
	methods map[grpcMethod]*GRPC
	over    Counter // calls of methods there was no room for
}

type grpcMethod struct{ service, method string }

// GRPC returns what counts the calls of one method, or with two empty names those of no method in particular. Methods
// beyond the first 256 of the cluster, and such as no generator makes, are counted as the latter and as
// grpc.pillion_methods_over.
func (c *Cluster) GRPC(service, method string) *GRPC {
	calls := &c.calls
	if service == "" && method == "" {
		return calls.nameless()
	}
	key := grpcMethod{service, method}
	calls.mu.RLock()
	found := calls.methods[key]
	calls.mu.RUnlock()
	if found == nil {
		found = calls.add(key)
	}
	if found == nil {
		calls.over.Add(1)
		return calls.nameless()
	}
	return found
}

func (g *grpcCalls) nameless() *GRPC {
	if g.all.Load() == nil {
		g.all.CompareAndSwap(nil, &GRPC{shards: newShards[grpcCounts]()})
	}
	return g.all.Load()
}

// add returns nil if there is no room, or the name isn't one.
func (g *grpcCalls) add(key grpcMethod) *GRPC {
	if !plainName(key.service) || !plainName(key.method) || len(key.service)+len(key.method) > longestMethod {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if found := g.methods[key]; found != nil || len(g.methods) >= mostMethods {
		return found
	}
	key = grpcMethod{strings.Clone(key.service), strings.Clone(key.method)}
	made := &GRPC{
		name: key.service + "." + key.method + ".", labels: pairsText("grpc_bridge_service", key.service, "grpc_bridge_method", key.method),
		shards: newShards[grpcCounts](),
	}
	if g.methods == nil {
		g.methods = map[grpcMethod]*GRPC{}
	}
	g.methods[key] = made
	return made
}

// plainName reports whether a service or method has only letters, digits, dots and underscores.
func plainName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '.' && s[i] != '_' {
			return false
		}
	}
	return s != ""
}

// Done counts a call that has ended: its status, -1 if it had none, and the messages either way. id is the connection's.
func (g *GRPC) Done(id uint64, status int, requests, responses uint64) {
	s := g.shards.at(id)
	s.requests.Add(requests)
	s.responses.Add(responses)
	if status < 0 {
		return
	}
	s.total.Add(1)
	if status == 0 {
		s.success.Add(1)
	} else {
		s.failure.Add(1)
	}
	if status <= lastGRPCStatus {
		s.status[status].Add(1)
	}
}

// Took counts how long the upstream took: upstream_rq_time.
func (g *GRPC) Took(d time.Duration) {
	if g.time.Load() == nil {
		g.time.CompareAndSwap(nil, new(Histogram))
	}
	g.time.Load().Record(milliseconds(d))
}

// each calls f with all of them.
func (g *grpcCalls) each(f func(*GRPC)) {
	if all := g.all.Load(); all != nil {
		f(all)
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, m := range g.methods {
		f(m)
	}
}

// named appends what they counted. labels are the cluster's.
func (g *grpcCalls) named(list []named, prefix, labels string) []named {
	g.each(func(m *GRPC) { list = m.named(list, prefix+"grpc."+m.name, joinLabels(labels, m.labels)) })
	if over := g.over.Load(); over > 0 {
		list = append(list, named{name: prefix + "grpc.pillion_methods_over", value: int64(over), family: grpcFamily + "pillion_methods_over", labels: labels}) //nolint:gosec // as all counters are told
	}
	return list
}

const grpcFamily = "envoy_cluster_grpc_"

func (g *GRPC) named(list []named, prefix, labels string) []named {
	counters := func(s *grpcCounts) map[string]*Counter {
		return map[string]*Counter{
			"success": &s.success, "failure": &s.failure, "total": &s.total,
			"request_message_count": &s.requests, "response_message_count": &s.responses,
		}
	}
	sums := map[string]uint64{}
	g.shards.each(func(s *grpcCounts) {
		for name, c := range counters(s) {
			sums[name] += c.Load()
		}
		for status := range s.status {
			if n := s.status[status].Load(); n > 0 {
				sums[strconv.Itoa(status)] += n
			}
		}
	})
	if h := g.time.Load(); h != nil {
		d := &distribution{}
		d.add(h)
		list = append(list, named{name: prefix + "upstream_rq_time", kind: histogramKind, dist: d, family: grpcFamily + "upstream_rq_time", labels: labels})
	}
	for name, n := range sums {
		list = append(list, named{name: prefix + name, value: int64(n), family: grpcFamily + name, labels: labels}) //nolint:gosec // as all counters are told
	}
	return list
}

// reset sets the counters to zero; histograms stay.
func (g *grpcCalls) reset() {
	g.over.Store(0)
	g.each(func(m *GRPC) {
		m.shards.each(func(s *grpcCounts) {
			for _, c := range [...]*Counter{&s.success, &s.failure, &s.total, &s.requests, &s.responses} {
				c.Store(0)
			}
			for i := range s.status {
				s.status[i].Store(0)
			}
		})
	})
}
