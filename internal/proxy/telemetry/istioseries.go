package telemetry

import (
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// maxIstioSeries bounds the series: labels are made of what peers say, and they may say anything.
const maxIstioSeries = 10_000

// istioSeries are all series of a process.
type istioSeries struct {
	mu        sync.RWMutex
	series    map[istioKey]*IstioSeries
	overflow  map[protocol]*IstioSeries // what found no room: all labels unknown
	overrides []*overrides
}

// IstioSeries are Istio's metrics with one set of labels.
type IstioSeries struct {
	key    istioKey
	shards shards[istioShard]

	// Opened, Closed, Sent and Received are of TCP connections: istio_tcp_…_total, bytes from the downstream's view.
	Opened, Closed, Sent, Received Counter
}

// istioShard counts requests.
type istioShard struct {
	requests                         Counter
	duration, requestSize, replySize Histogram
	requestMessages, replyMessages   Counter
	_                                [64]byte // the next object doesn't share our cache line
}

// Request counts a finished request; its connection's ID says in which shard.
func (s *IstioSeries) Request(x *stream.Exchange) {
	shard := s.shards.at(x.Conn.ID)
	shard.requests.Add(1)
	shard.duration.Record(milliseconds(x.End))
	shard.requestSize.Record(x.Received)
	shard.replySize.Record(x.Sent)
	if x.GRPC {
		shard.requestMessages.Add(x.Messages[0])
		shard.replyMessages.Add(x.Messages[1])
	}
}

// find returns the series with that key, making it if there is room.
func (s *istioSeries) find(key istioKey) *IstioSeries {
	s.mu.RLock()
	found := s.series[key]
	s.mu.RUnlock()
	if found != nil {
		return found
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.series[key]; found != nil {
		return found
	}
	if len(s.series) >= maxIstioSeries {
		return s.other(key.protocol)
	}
	if s.series == nil {
		s.series = map[istioKey]*IstioSeries{}
	}
	key = key.owned()
	made := &IstioSeries{key: key, shards: newShards[istioShard]()}
	s.series[key] = made
	return made
}

// other is where everything is counted that there is no room for.
func (s *istioSeries) other(p protocol) *IstioSeries {
	if s.overflow == nil {
		s.overflow = map[protocol]*IstioSeries{}
	}
	if s.overflow[p] == nil {
		key := istioKey{protocol: p, code: -1, grpc: -1, other: true}
		s.overflow[p] = &IstioSeries{key: key, shards: newShards[istioShard]()}
	}
	return s.overflow[p]
}
