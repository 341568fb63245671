package tcp

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// orphans returns the connections whose listener or chain was removed so long ago that they are to be closed. Bytes can't be
// asked to go elsewhere.
func (p *Proxy) orphans(now time.Time) (list []*session) {
	if p.Runtime == nil {
		return nil
	}
	runtime, kept := p.Runtime.Load(), map[*config.Chain]bool{}
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.sessions {
		if s.checked != runtime {
			s.checked = runtime
			s.check(now, kept)
		}
		if !s.removed.IsZero() && !s.orphaned && now.Sub(s.removed) >= p.CloseAfter {
			s.orphaned = true
			list = append(list, s)
		}
	}
	return list
}

// check looks whether the session's chain is there; kept is what is known of others.
func (s *session) check(now time.Time, kept map[*config.Chain]bool) {
	chain := s.conn.Chain
	if _, known := kept[chain]; !known {
		kept[chain] = s.checked.Keeps(s.conn.Listener, chain)
	}
	switch {
	case kept[chain]:
		s.removed = time.Time{}
	case s.removed.IsZero():
		s.removed = now
	}
}
