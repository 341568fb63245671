package upstream

import (
	"cmp"
	"math"
	"slices"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

const (
	defaultOverprovisioning = 140
	percent                 = 100
)

// balancer chooses among members: a priority and whether a healthy or a degraded host, then a locality, then a host. It
// stands for a cluster or for one subset of it.
type balancer struct {
	shares []share // cumulative, up to 100
	empty  int     // members there are, if none can be picked; for the trace
	panics *telemetry.Counter
}

// share is a part of the requests that goes to hosts of one priority and availability.
type share struct {
	below    uint64 // of 100
	priority uint32
	kind     availability
	panics   bool // too few hosts are healthy: all are used
	hosts    tier
}

// picker chooses one of its hosts by a policy; it has at least one.
type picker interface{ pick(draw) *Host }

// pick returns nil if there is no host.
func (b *balancer) pick(d draw, trace *stream.Trace) *Host {
	at := d.hash % percent
	for i := range b.shares {
		s := &b.shares[i]
		if at >= s.below {
			continue
		}
		host := s.hosts.pick(d)
		if s.panics {
			b.panics.Add(1)
		}
		if trace.On() {
			b.explain(s, host, trace)
		}
		return host
	}
	if trace.On() {
		trace.Note("host", "none: of %d hosts none is healthy", b.empty)
	}
	return nil
}

func (b *balancer) explain(s *share, host *Host, trace *stream.Trace) {
	for i := range b.shares {
		of := &b.shares[i]
		before := uint64(0)
		if i > 0 {
			before = b.shares[i-1].below
		}
		trace.Note("priority", "%d takes %d %% of requests to %d %s hosts", of.priority, of.below-before, of.hosts.size, of.kind.word(of.panics))
	}
	if host == nil {
		trace.Note("host", "none: no locality of priority %d has a weight", s.priority)
		return
	}
	l := host.Locality()
	trace.Note("host", "%s of priority %d, locality %s/%s/%s", host, s.priority, l.Region, l.Zone, l.SubZone)
}

func (a availability) word(panics bool) string {
	switch {
	case panics:
		return "(panic: all)"
	case a == degraded:
		return "degraded"
	default:
		return "healthy"
	}
}

// level are the members of one priority.
type level struct {
	priority uint32
	members  []member
	count    [3]int // by availability
	health   [2]uint32
}

// balance makes the balancer of members.
func (c *Cluster) balance(set *hostSet, members []member) *balancer {
	b := &balancer{empty: len(members), panics: &c.Stats.LBHealthyPanic}
	if len(members) == 0 {
		return b
	}
	m := maker{lb: &set.config.LB, localities: set.places, over: cmp.Or(set.from.Overprovisioned, defaultOverprovisioning), seed: c.manager.opts.Random()}
	levels := m.levels(members)
	available := m.measure(levels)
	panics := m.panics(levels, available)
	loads := m.loads(levels, panics, available)
	for kind := healthy; kind <= degraded; kind++ {
		for i := range levels {
			if loads[kind][i] > 0 {
				b.shares = append(b.shares, m.share(&levels[i], kind, panics[i]))
				b.shares[len(b.shares)-1].below = uint64(loads[kind][i])
			}
		}
	}
	for i := 1; i < len(b.shares); i++ {
		b.shares[i].below += b.shares[i-1].below
	}
	return b
}

// levels sorts members into priorities. Usually there is one, which shares members' memory.
func (m *maker) levels(members []member) []level {
	first := m.localities[0].Priority
	if !slices.ContainsFunc(m.localities, func(l *config.Locality) bool { return l.Priority != first }) {
		return []level{counted(first, members)}
	}
	by := map[uint32][]member{}
	for _, of := range members {
		priority := m.localities[of.place].Priority
		by[priority] = append(by[priority], of)
	}
	levels := make([]level, 0, len(by))
	for priority, of := range by {
		levels = append(levels, counted(priority, of))
	}
	slices.SortFunc(levels, func(a, b level) int { return cmp.Compare(a.priority, b.priority) })
	return levels
}

func counted(priority uint32, members []member) level {
	l := level{priority: priority, members: members}
	for i := range members {
		l.count[members[i].available]++
	}
	return l
}

// maker makes pickers for one configuration.
type maker struct {
	lb         *config.LB
	localities []*config.Locality
	over       uint32 // overprovisioning factor in percent
	seed       uint64
}

// measure sets how much of a priority's load its healthy and its degraded hosts can bear, in percent, and returns what
// all can bear together, up to 100.
func (m *maker) measure(levels []level) uint32 {
	total := uint32(0)
	for i := range levels {
		l := &levels[i]
		for kind := range l.health {
			l.health[kind] = uint32(min(percent, uint64(m.over)*uint64(l.count[kind])/uint64(len(l.members))))
			total += l.health[kind]
		}
	}
	return min(total, percent)
}

// panics says which priorities use all their hosts because too few are healthy. None does while the others can bear
// the load.
func (m *maker) panics(levels []level, available uint32) []bool {
	panics := make([]bool, len(levels))
	if available == percent || m.lb.PanicPercent == 0 {
		return panics
	}
	for i := range levels {
		l := &levels[i]
		usable := float64(l.count[healthy]+l.count[degraded]) * percent / float64(len(l.members))
		panics[i] = usable < m.lb.PanicPercent
	}
	return panics
}

// loads returns the percentages of requests for healthy and for degraded hosts by priority. Their sum is 100, or 0 if
// there is no host to go to. In panic everywhere the numbers of hosts decide.
func (m *maker) loads(levels []level, panics []bool, available uint32) (loads [2][]uint32) {
	loads = [2][]uint32{make([]uint32, len(levels)), make([]uint32, len(levels))}
	if !slices.Contains(panics, false) {
		bySize(levels, loads[healthy])
		return loads
	}
	if available == 0 {
		return loads
	}
	left, first := uint32(percent), (*uint32)(nil)
	for kind := range loads {
		for i := range levels {
			loads[kind][i] = min(left, levels[i].health[kind]*percent/available)
			left -= loads[kind][i]
			if first == nil && levels[i].health[kind] > 0 {
				first = &loads[kind][i]
			}
		}
	}
	*first += left // what rounding left
	return loads
}

func bySize(levels []level, loads []uint32) {
	all := 0
	for i := range levels {
		all += len(levels[i].members)
	}
	left := uint32(percent)
	for i := range levels {
		loads[i] = uint32(len(levels[i].members) * percent / all)
		left -= loads[i]
	}
	loads[0] += left
}

func (m *maker) share(l *level, kind availability, panics bool) share {
	s := share{priority: l.priority, kind: kind, panics: panics}
	usable := l.members
	if !panics && l.count[kind] != len(l.members) {
		usable = make([]member, 0, l.count[kind])
		for i := range l.members {
			if l.members[i].available == kind {
				usable = append(usable, l.members[i])
			}
		}
	}
	s.hosts = m.tier(l, usable)
	return s
}

// tier are the hosts of one priority and availability, in one piece or by locality.
type tier struct {
	size    int
	picker  picker // nil: no host
	places  []picker
	weights *alias // of places
}

func (t *tier) pick(d draw) *Host {
	switch {
	case t.picker != nil:
		return t.picker.pick(d)
	case len(t.places) > 0:
		return t.places[t.weights.draw(mix(d.random^localityDraw), len(t.places))].pick(d)
	default:
		return nil
	}
}

// localityDraw makes the choice of a locality another throw of the dice than the choice of a host.
const localityDraw = 0x6c6f63616c697479

// tier makes a picker of usable, or one for each locality. Hash policies have one ring or table, in which a host's
// weight is multiplied by its locality's, so that a hash always leads to the same host.
func (m *maker) tier(l *level, usable []member) tier {
	t := tier{size: len(usable)}
	switch {
	case len(usable) == 0:
	case !m.lb.LocalityWeighted:
		t.picker = m.picker(usable)
	case m.hashing():
		if weighted := m.localityTimesHost(l, usable); len(weighted) > 0 {
			t.picker = m.picker(weighted)
		}
	default:
		m.byLocality(&t, l, usable)
	}
	return t
}

func (m *maker) hashing() bool {
	return m.lb.Policy == config.LBRingHash || m.lb.Policy == config.LBMaglev
}

// place are the usable hosts of a locality.
type place struct {
	locality *config.Locality
	usable   []member
	all      int
	weight   float64
}

// places sorts usable by locality. A locality's weight shrinks as it loses hosts, once the overprovisioning is used up.
func (m *maker) places(l *level, usable []member) []place {
	var places []place
	index := map[uint32]int{}
	for i := range l.members {
		at, ok := index[l.members[i].place]
		if !ok {
			at = len(places)
			index[l.members[i].place] = at
			places = append(places, place{locality: m.localities[l.members[i].place]})
		}
		places[at].all++
	}
	for _, u := range usable {
		at := index[u.place]
		places[at].usable = append(places[at].usable, u)
	}
	for i := range places {
		p := &places[i]
		left := float64(m.over) / percent * float64(len(p.usable)) / float64(p.all)
		p.weight = float64(p.locality.Weight) * math.Min(1, left)
	}
	return slices.DeleteFunc(places, func(p place) bool { return p.weight == 0 })
}

func (m *maker) byLocality(t *tier, l *level, usable []member) {
	places := m.places(l, usable)
	weights := make([]float64, len(places))
	for i, p := range places {
		t.places = append(t.places, m.picker(p.usable))
		weights[i] = p.weight
	}
	t.weights = newAlias(weights)
}

func (m *maker) localityTimesHost(l *level, usable []member) (weighted []member) {
	for _, p := range m.places(l, usable) {
		sum := 0.0
		for _, u := range p.usable {
			sum += u.weight
		}
		for _, u := range p.usable {
			u.weight *= p.weight / sum
			weighted = append(weighted, u)
		}
	}
	return weighted
}

// picker makes what the configured policy asks for. usable isn't empty.
func (m *maker) picker(usable []member) picker {
	if len(usable) == 1 {
		return only{usable[0].host}
	}
	switch m.lb.Policy {
	case config.LBLeastRequest:
		return newLeastRequest(usable, m.lb)
	case config.LBRandom:
		return newRandom(usable)
	case config.LBRingHash:
		return newHashed(usable, m.lb, newRing)
	case config.LBMaglev:
		return newHashed(usable, m.lb, newMaglev)
	default:
		return newRoundRobin(usable, m.seed)
	}
}

// only is the policy where there is no choice.
type only struct{ host *Host }

func (o only) pick(draw) *Host { return o.host }
