package tcp

import (
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// meter is where a connection is counted in Istio's metrics.
type meter struct{ opened, closed, sent, received *telemetry.Counter }

// find returns the counters for what is known now. A chain without istio.stats counts into the void. mu is held.
func (s *session) find() meter {
	if s.plan.istio == nil {
		return meter{&s.proxy.void, &s.proxy.void, &s.proxy.void, &s.proxy.void}
	}
	series := s.plan.istio.Series(&s.x, &s.cache)
	return meter{&series.Opened, &series.Closed, &series.Sent, &series.Received}
}

// open counts the connection as opened, once: when it is known who the peers are, or at its end.
func (s *session) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.openLocked()
}

func (s *session) openLocked() {
	if s.meter.opened == nil {
		s.meter = s.find()
		s.meter.opened.Add(1)
	}
}

// setPeer and setUpstreamPeer take what metadata exchange told; nil: nothing.
func (s *session) setPeer(p *stream.Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != nil {
		p.Principal = s.conn.Principal()
		s.conn.Peer = p
	}
	s.arrived()
}

func (s *session) setUpstreamPeer(p *stream.Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != nil {
		if t := s.x.Upstream.TLS; t != nil && len(t.PeerURISANs) > 0 {
			p.Principal = t.PeerURISANs[0]
		}
		s.x.UpPeer = p
	}
	s.arrived()
}

func (s *session) arrived() {
	if s.awaited--; s.awaited == 0 {
		s.openLocked()
	}
}

// bytes are what came from and went to the downstream so far.
func (s *session) bytes() (in, out uint64) {
	s.mu.Lock()
	p := s.pair
	s.mu.Unlock()
	if p == nil {
		return 0, 0
	}
	return p.request.moved.Load(), p.reply.moved.Load()
}

// report adds what was moved since the last report to the shared counters. Before the connection counts as opened
// nothing is reported: it would be counted for an unknown peer.
func (s *session) report() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pair == nil || s.meter.opened == nil {
		return
	}
	in, out := s.pair.request.moved.Load(), s.pair.reply.moved.Load()
	newIn, newOut := in-s.reported[0], out-s.reported[1]
	s.reported = [2]uint64{in, out}
	s.plan.prefix.RxBytes.Add(newIn)
	s.plan.prefix.TxBytes.Add(newOut)
	s.cluster.Stats.TxBytes.Add(newIn)
	s.cluster.Stats.RxBytes.Add(newOut)
	s.meter.received.Add(newIn)
	s.meter.sent.Add(newOut)
}

// ended counts the close under the flags the connection ended with.
func (s *session) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.find().closed.Add(1)
}
