package upstream

import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// Zone-aware routing, as Envoy has it: requests stay in this proxy's own locality as far as the cluster's hosts there can
// bear what the proxies there send, which is guessed from how many proxies there are where: they are the hosts of the
// local cluster. The rest goes to the localities that have more than their share of hosts.

// spot is a locality by its name.
type spot struct{ region, zone, subZone string }

func spotOf(l *config.Locality) spot { return spot{l.Region, l.Zone, l.SubZone} }

// whole is what parts are counted in.
const whole = 10000

// zones routes the requests to healthy hosts of priority 0.
type zones struct {
	anywhere picker   // whatever the locality, for requests that aren't to be routed by it
	enabled  uint64   // of a million requests
	unfit    bool     // too few of this proxy's fellows are healthy to guess by
	fails    bool     // then nobody is chosen
	here     picker   // own locality; nil: no host there
	stays    uint64   // of whole: how many requests stay
	places   []picker // the other localities that have hosts
	residual []uint64 // of places, cumulative: what they can bear besides their own
	stats    *telemetry.Cluster
}

const (
	enabledDraw = 0x7a6f6e65
	staysDraw   = 0x73746179
	otherDraw   = 0x6f74686572
)

func (z *zones) pick(d draw) *Host {
	if mix(d.random^enabledDraw)%1e6 >= z.enabled {
		return z.anywhere.pick(d)
	}
	if z.unfit {
		z.stats.LBLocalClusterNotOK.Add(1)
		if z.fails {
			return nil
		}
		return z.anywhere.pick(d)
	}
	switch {
	case z.stays == whole:
		z.stats.LBZoneDirectly.Add(1)
		return z.here.pick(d)
	case mix(d.random^staysDraw)%whole < z.stays:
		z.stats.LBZoneSampled.Add(1)
		return z.here.pick(d)
	default:
		z.stats.LBZoneCross.Add(1)
		return z.elsewhere(mix(d.random ^ otherDraw)).pick(d)
	}
}

// elsewhere chooses among the other localities by what they can bear.
func (z *zones) elsewhere(random uint64) picker {
	if len(z.places) == 0 {
		return z.anywhere
	}
	all := z.residual[len(z.residual)-1]
	if all == 0 { // rounding
		z.stats.LBZoneNoCapacity.Add(1)
		return z.places[random%uint64(len(z.places))]
	}
	at := random % all
	for i, below := range z.residual {
		if at < below {
			return z.places[i]
		}
	}
	return z.anywhere
}

func (z *zones) explain(trace *stream.Trace) {
	if z.unfit {
		trace.Note("zone", "too few hosts of the local cluster are healthy: localities don't count")
		return
	}
	trace.Note("zone", "%d of %d requests stay in this proxy's locality, of %d of a million", z.stays, whole, z.enabled)
}

// zones makes the router of a priority's healthy hosts, or nil where localities don't count.
func (m *maker) zones(l *level, usable []member) *zones {
	if m.fellows == nil || l.priority != 0 || len(usable) == 0 {
		return nil
	}
	m.stats.LBZoneRecalculate.Add(1)
	by := m.bySpot(l, usable)
	f := m.count(m.fellows)
	switch {
	case len(by) < 2 || len(f.all) < 2:
		return nil
	case f.all[m.home] == 0: // this proxy isn't one of the local cluster's hosts
		m.stats.LBLocalClusterNotOK.Add(1)
		return nil
	case uint64(len(usable)) < m.lb.Zones.MinHosts:
		m.stats.LBZoneTooSmall.Add(1)
		return nil
	}
	z := &zones{anywhere: m.picker(usable), enabled: uint64(m.lb.Zones.PerMillion), unfit: f.panics, fails: m.lb.Zones.FailOnPanic, stats: m.stats}
	m.divide(z, by, f)
	return z
}

// atSpot are the usable hosts of one locality.
type atSpot struct {
	spot   spot
	usable []member
}

// bySpot sorts usable by locality, in the order of the configuration. Localities whose hosts aren't usable are there too.
func (m *maker) bySpot(l *level, usable []member) (by []atSpot) {
	index := map[spot]int{}
	for i := range l.members {
		s := spotOf(m.localities[l.members[i].place])
		if _, known := index[s]; !known {
			index[s] = len(by)
			by = append(by, atSpot{spot: s})
		}
	}
	for _, u := range usable {
		at := index[spotOf(m.localities[u.place])]
		by[at].usable = append(by[at].usable, u)
	}
	return by
}

// fellows is how many hosts of the local cluster there are by locality.
type fellows struct {
	all     map[spot]int
	healthy map[spot]uint64
	total   uint64 // of healthy
	panics  bool
}

// count counts priority 0 of the local cluster.
func (m *maker) count(local *hostSet) fellows {
	f := fellows{all: map[spot]int{}, healthy: map[spot]uint64{}}
	all, usable := 0, 0
	for i := range local.members {
		of := &local.members[i]
		place := local.places[of.place]
		if place.Priority != 0 {
			continue
		}
		if of.available == leftOut {
			continue
		}
		all++
		f.all[spotOf(place)]++
		switch of.available {
		case healthy:
			usable++
			f.healthy[spotOf(place)] += m.measured(of)
			f.total += m.measured(of)
		case degraded:
			usable++
		}
	}
	f.panics = float64(usable)*percent < m.lb.PanicPercent*float64(all)
	return f
}

// measured is what a host counts when shares are computed.
func (m *maker) measured(of *member) uint64 {
	if m.lb.Zones.ByWeight {
		return uint64(max(of.host.Endpoint().Weight, 1))
	}
	return 1
}

// divide sets which part of the requests stays, and what other localities can bear.
func (m *maker) divide(z *zones, by []atSpot, f fellows) {
	sums, total := make([]uint64, len(by)), uint64(0)
	for i := range by {
		for j := range by[i].usable {
			sums[i] += m.measured(&by[i].usable[j])
		}
		total += sums[i]
	}
	sum := uint64(0)
	for i := range by {
		if sums[i] == 0 {
			continue
		}
		ours, theirs := part(f.healthy[by[i].spot], f.total), part(sums[i], total)
		if by[i].spot == m.home {
			z.here, z.stays = m.picker(by[i].usable), m.stays(ours, theirs, len(by[i].usable))
			continue
		}
		if theirs > ours {
			sum += theirs - ours
		}
		z.places, z.residual = append(z.places, m.picker(by[i].usable)), append(z.residual, sum)
	}
}

// stays is the part of the requests, of whole, that the own locality takes: it has the part `ours` of the proxies and the
// part `theirs` of the cluster's hosts.
func (m *maker) stays(ours, theirs uint64, hosts int) uint64 {
	force := m.lb.Zones.ForceLocal
	switch {
	case theirs >= ours && theirs > 0, force > 0 && uint64(hosts) >= uint64(force):
		return whole
	case ours == 0:
		return 0
	default:
		return theirs * whole / ours
	}
}

func part(n, of uint64) uint64 {
	if of == 0 {
		return 0
	}
	return n * whole / of
}

// fellows is the set of the local cluster's hosts that c routes by, or nil.
func (c *Cluster) fellows(cfg *config.Cluster) *hostSet {
	name := c.manager.opts.LocalCluster
	if name == "" || name == c.name || cfg.LB.Zones.PerMillion == 0 {
		return nil
	}
	local := c.manager.Cluster(name)
	if local == nil {
		return nil
	}
	return local.hosts()
}
