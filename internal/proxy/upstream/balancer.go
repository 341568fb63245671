package upstream

import (
	"cmp"
	"slices"
	"sort"

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
	spares *spares // nil: there is one priority only
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

// choose is pick without the priorities that retries have been to, as long as others are left.
func (b *balancer) choose(d draw, choice *Choice, trace *stream.Trace) *Host {
	if p := choice.Previous; p != nil && len(p.excluded) > 0 && b.spares != nil {
		if host, ok := b.spares.pick(p, d, b, trace); ok {
			return host
		}
		p.forget()
	}
	return b.pick(d, trace)
}

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
	if s.hosts.zones != nil {
		s.hosts.zones.explain(trace)
	}
	if host == nil {
		trace.Note("host", "none: no locality of priority %d has a weight, or panic is to fail requests", s.priority)
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
	count    [4]int // by availability
	health   [2]uint32
}

// balance makes the balancer of members.
func (c *Cluster) balance(set *hostSet, members []member) *balancer {
	b := &balancer{empty: len(members), panics: &c.Stats.LBHealthyPanic}
	if len(members) == 0 {
		return b
	}
	m := maker{
		lb: &set.config.LB, localities: set.places, over: cmp.Or(set.from.Overprovisioned, defaultOverprovisioning), seed: c.manager.opts.Random(),
		fellows: set.fellows, home: c.manager.home, stats: c.Stats,
	}
	levels := m.levels(members)
	available := m.measure(levels)
	panics := m.panics(levels, available)
	b.spares = newSpares(m, levels, panics)
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
	sort.Slice(levels, func(i, j int) bool { return levels[i].priority < levels[j].priority })
	return levels
}

// eligible is how many hosts shares are computed of.
func (l *level) eligible() int { return len(l.members) - l.count[leftOut] }

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
	fellows    *hostSet // the local cluster's hosts; nil: localities don't count
	home       spot     // where this proxy is
	stats      *telemetry.Cluster
}

func (m *maker) share(l *level, kind availability, panics bool) share {
	s := share{priority: l.priority, kind: kind, panics: panics}
	if panics && m.lb.Zones.FailOnPanic {
		return s
	}
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
	if kind == healthy && !panics {
		s.hosts.zones = m.zones(l, usable)
	}
	return s
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
