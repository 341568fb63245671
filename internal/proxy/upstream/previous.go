package upstream

import (
	"slices"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Previous is what a request's retries remember of where they have been: Envoy's retry priority previous_priorities. After
// every so many attempts the priorities of the hosts tried aren't chosen any more, until none is left.
type Previous struct {
	Every uint32 // update_frequency: attempts; 0: nothing is remembered

	hosts    []*Host
	excluded []uint32
}

// Attempted notes that a host was tried in vain.
func (p *Previous) Attempted(h *Host) {
	if p.Every == 0 {
		return
	}
	p.hosts = append(p.hosts, h)
	if uint32(len(p.hosts))%p.Every != 0 {
		return
	}
	for _, each := range p.hosts {
		if l := each.Locality(); l != nil && !slices.Contains(p.excluded, l.Priority) {
			p.excluded = append(p.excluded, l.Priority)
		}
	}
}

// forget begins anew: nothing is left to go to.
func (p *Previous) forget() { p.hosts, p.excluded = p.hosts[:0], p.excluded[:0] }

// spares are the shares of a balancer that usual loads have no use for. They are made when a retry first wants one.
type spares struct {
	maker  maker
	levels []level
	panics []bool
	made   [2][]spare // by availability and priority
}

type spare struct {
	once  sync.Once
	share share
}

func newSpares(m maker, levels []level, panics []bool) *spares {
	if len(levels) < 2 {
		return nil // there is nowhere else to go
	}
	return &spares{maker: m, levels: levels, panics: panics, made: [2][]spare{make([]spare, len(levels)), make([]spare, len(levels))}}
}

func (s *spares) share(kind availability, i int) *share {
	made := &s.made[kind][i]
	made.once.Do(func() { made.share = s.maker.share(&s.levels[i], kind, s.panics[i]) })
	return &made.share
}

// pick chooses a host of the priorities that p doesn't exclude; false: of them none has one.
func (s *spares) pick(p *Previous, d draw, b *balancer, trace *stream.Trace) (*Host, bool) {
	loads, ok := s.loads(p)
	if !ok {
		return nil, false
	}
	at, below := uint32(d.hash%percent), uint32(0)
	for kind := range loads {
		for i, load := range loads[kind] {
			if below += load; at >= below {
				continue
			}
			of := s.share(availability(kind), i)
			if trace.On() {
				trace.Note("priority", "%d: retries have been to %v", of.priority, p.excluded)
			}
			if of.panics {
				b.panics.Add(1)
			}
			return of.hosts.pick(d), true
		}
	}
	return nil, false
}

// loads are the percentages of requests by availability and priority without the excluded ones.
func (s *spares) loads(p *Previous) (loads [2][]uint32, ok bool) {
	levels, available := slices.Clone(s.levels), uint32(0)
	for i := range levels {
		if slices.Contains(p.excluded, levels[i].priority) {
			levels[i].health = [2]uint32{}
		}
		available += levels[i].health[healthy] + levels[i].health[degraded]
	}
	if available == 0 {
		return loads, false
	}
	return s.maker.loads(levels, make([]bool, len(levels)), min(available, percent)), true
}
