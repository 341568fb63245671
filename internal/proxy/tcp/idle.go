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
	for _, s := range p.orphans(now) {
		s.plan.prefix.DrainClose.Add(1)
		s.shut("filter_chain_removed", stream.LocalReset)
	}
	for _, s := range p.due(now) {
		limits := s.plan.tcp
		switch {
		case limits.MaxDuration > 0 && now.Sub(s.conn.Start) >= limits.MaxDuration:
			s.plan.prefix.MaxDuration.Add(1)
			s.shut("max_downstream_connection_duration", stream.DurationTimeout)
		case limits.IdleTimeout > 0 && s.idleFor(now) >= limits.IdleTimeout:
			s.plan.prefix.IdleTimeout.Add(1)
			s.shut("tcp_session_idle_timeout", stream.IdleTimeout)
		}
	}
}

// due returns the connections to be looked at now, usually one in sixty.
func (p *Proxy) due(now time.Time) (due []*session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.sessions {
		if wait, limited := s.plan.look(); limited && !now.Before(s.nextLook) {
			s.nextLook = now.Add(wait)
			due = append(due, s)
		}
	}
	return due
}

// look returns how long a look at a connection lasts, and whether there is anything to look at.
func (p *plan) look() (wait time.Duration, limited bool) {
	for _, limit := range []time.Duration{p.tcp.IdleTimeout, p.tcp.MaxDuration} {
		if limit > 0 && (!limited || limit < wait) {
			wait, limited = limit, true
		}
	}
	return wait / looksPerIdle, limited
}

// idleFor returns for how long the session is known to have moved nothing.
func (s *session) idleFor(now time.Time) time.Duration {
	in, out := s.bytes()
	if moved := in + out; moved != s.lastMoved {
		s.lastMoved, s.lastSeen = moved, now
	}
	return now.Sub(s.lastSeen)
}
