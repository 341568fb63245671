package tcp

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// The idle sweep wakes each second and looks at a connection sixty times in its idle timeout.
const (
	sweepInterval = time.Second
	looksPerIdle  = 60
)

// sweep closes connections that moved no byte for their idle timeout. It reads the byte counters the relay keeps
// anyway, so that no read or write pays for a deadline.
func (p *Proxy) sweep() {
	defer close(p.sweeper)
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
			p.sweepOnce(p.Now())
		}
	}
}

func (p *Proxy) sweepOnce(now time.Time) {
	for _, s := range p.due(now) {
		if s.idleFor(now) >= s.conn.Chain.TCP.IdleTimeout {
			s.prefix.IdleTimeout.Add(1)
			s.shut("tcp_session_idle_timeout", stream.IdleTimeout)
		}
	}
}

// due returns the connections to be looked at now, usually one in sixty.
func (p *Proxy) due(now time.Time) (due []*session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.sessions {
		idle := s.conn.Chain.TCP.IdleTimeout
		if idle > 0 && !now.Before(s.nextLook) {
			s.nextLook = now.Add(idle / looksPerIdle)
			due = append(due, s)
		}
	}
	return due
}

// idleFor returns for how long the session is known to have moved nothing.
func (s *session) idleFor(now time.Time) time.Duration {
	in, out := s.bytes()
	if moved := in + out; moved != s.lastMoved {
		s.lastMoved, s.lastSeen = moved, now
	}
	return now.Sub(s.lastSeen)
}
