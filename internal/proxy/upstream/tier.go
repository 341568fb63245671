package upstream

import (
	"math"
	"slices"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// tier are the hosts of one priority and availability, in one piece or by locality.
type tier struct {
	size    int
	picker  picker // nil: no host
	places  []picker
	weights *alias // of places
	zones   *zones // nil: this proxy's own locality doesn't count
}

func (t *tier) pick(d draw) *Host {
	switch {
	case t.zones != nil:
		return t.zones.pick(d)
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
		if l.members[i].available != leftOut {
			places[at].all++
		}
	}
	for _, u := range usable {
		at := index[u.place]
		places[at].usable = append(places[at].usable, u)
	}
	for i := range places {
		p := &places[i]
		left := float64(m.over) / percent * float64(len(p.usable)) / float64(max(p.all, 1))
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
