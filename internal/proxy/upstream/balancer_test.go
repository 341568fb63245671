package upstream

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// spec is a priority with so many hosts of each availability.
type spec struct{ healthy, degraded, unhealthy int }

func (s spec) all() int { return s.healthy + s.degraded + s.unhealthy }

// specs makes a cluster: hosts of priority p are 10.p.…, those of availability a 10.p.a.….
func specs(panic float64, over uint32, priorities ...spec) *config.Cluster {
	var list []config.Locality
	for p, s := range priorities {
		l := config.Locality{Priority: uint32(p)}
		for a, n := range []int{s.healthy, s.degraded, s.unhealthy} {
			for i := range n {
				at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(p), byte(a), byte(i)}), 80)
				l.Hosts = append(l.Hosts, &config.Endpoint{Address: at, Health: config.Health(a)})
			}
		}
		list = append(list, l)
	}
	c := localities("", list...)
	c.Endpoints.Load().Overprovisioned = over
	c.LB.PanicPercent, c.LB.Policy = panic, config.LBRandom
	return c
}

// group is a priority and an availability; in panic the availability is -1.
type group struct{ priority, kind int }

// slowLoads says in percent where requests go, by the words of Envoy's documentation rather than by our code: a second
// opinion in floating point, so results may differ by what rounding to whole percents does.
func slowLoads(threshold float64, over float64, priorities []spec) map[group]float64 {
	loads, total, sum := map[group]float64{}, 0.0, 0
	bear := func(n int, s spec) float64 {
		if s.all() == 0 {
			return 0
		}
		return math.Floor(math.Min(100, over*float64(n)/float64(s.all())))
	}
	for _, s := range priorities {
		total += bear(s.healthy, s) + bear(s.degraded, s)
		sum += s.all()
	}
	total = math.Min(100, total)
	panics := func(s spec) bool {
		return total < 100 && s.all() > 0 && 100*float64(s.healthy+s.degraded)/float64(s.all()) < threshold
	}
	everywhere := true
	for _, s := range priorities {
		everywhere = everywhere && (s.all() == 0 || panics(s))
	}
	if everywhere {
		for p, s := range priorities {
			loads[group{p, -1}] = 100 * float64(s.all()) / float64(sum)
		}
		return loads
	}
	if total == 0 {
		return nil
	}
	left := 100.0
	for kind := range 2 {
		for p, s := range priorities {
			load := math.Min(left, bear([]int{s.healthy, s.degraded}[kind], s)*100/total)
			left -= load
			at := group{p, kind}
			if panics(s) {
				at.kind = -1
			}
			loads[at] += load
		}
	}
	return loads
}

// TestLoadsAgreeWithASlowSecondVersion over random clusters.
func TestLoadsAgreeWithASlowSecondVersion(t *testing.T) {
	f := newFixture(t)
	dice := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		priorities := make([]spec, 1+dice.IntN(3))
		for p := range priorities {
			priorities[p] = spec{dice.IntN(6), dice.IntN(3), dice.IntN(6)}
		}
		threshold, over := float64(dice.IntN(3)*40), uint32([]int{0, 100, 200}[dice.IntN(3)])
		cfg := specs(threshold, over, priorities...)
		cfg.Name = fmt.Sprint(round)
		set := f.apply(cfg).current()
		if over == 0 {
			over = 140
		}
		hosts := 0
		for _, s := range priorities {
			hosts += s.all()
		}
		if hosts == 0 {
			continue
		}
		want, got := slowLoads(threshold, float64(over), priorities), loadsOf(set.balancer)
		for p := range priorities {
			for kind := -1; kind < 2; kind++ {
				at := group{p, kind}
				if math.Abs(want[at]-got[at]) > float64(2*len(priorities)) {
					t.Errorf("%v panic %v over %d: %+v has %v %%, want %v", priorities, threshold, over, at, got[at], want[at])
				}
			}
		}
	}
}

func loadsOf(b *balancer) map[group]float64 {
	loads, before := map[group]float64{}, uint64(0)
	for _, s := range b.shares {
		at := group{int(s.priority), int(s.kind)}
		if s.panics {
			at.kind = -1
		}
		loads[at] += float64(s.below - before)
		before = s.below
	}
	return loads
}

// TestPriorities: the examples of Envoy's documentation of priorities and degraded hosts.
func TestPriorities(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		panic      float64
		priorities []spec
		want       map[group]float64
	}{
		"all healthy":                {50, []spec{{4, 0, 0}, {4, 0, 0}}, map[group]float64{{0, 0}: 100}},
		"72 % are enough":            {50, []spec{{72, 0, 28}, {10, 0, 0}}, map[group]float64{{0, 0}: 100}},
		"71 % aren't quite":          {50, []spec{{71, 0, 29}, {10, 0, 0}}, map[group]float64{{0, 0}: 99, {1, 0}: 1}},
		"half of P0":                 {50, []spec{{50, 0, 50}, {10, 0, 0}}, map[group]float64{{0, 0}: 70, {1, 0}: 30}},
		"none of P0":                 {50, []spec{{0, 0, 10}, {10, 0, 0}}, map[group]float64{{1, 0}: 100}},
		"both weak, normalised":      {0, []spec{{25, 0, 75}, {25, 0, 75}}, map[group]float64{{0, 0}: 50, {1, 0}: 50}},
		"rounding is the first's":    {0, []spec{{20, 0, 80}, {20, 0, 80}, {20, 0, 80}}, map[group]float64{{0, 0}: 34, {1, 0}: 33, {2, 0}: 33}},
		"degraded after healthy":     {50, []spec{{1, 1, 2}}, map[group]float64{{0, 0}: 50, {0, 1}: 50}},
		"healthy of P1 before those": {50, []spec{{1, 3, 0}, {4, 0, 0}}, map[group]float64{{0, 0}: 35, {1, 0}: 65}},
		"panic":                      {50, []spec{{1, 0, 9}}, map[group]float64{{0, -1}: 100}},
		"panic is switched off":      {0, []spec{{1, 0, 9}}, map[group]float64{{0, 0}: 100}},
		"panic everywhere":           {50, []spec{{1, 0, 9}, {1, 0, 29}}, map[group]float64{{0, -1}: 25, {1, -1}: 75}},
		"no panic while P1 bears it": {50, []spec{{1, 0, 9}, {10, 0, 0}}, map[group]float64{{0, 0}: 14, {1, 0}: 86}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := specs(c.panic, 0, c.priorities...)
			cfg.Name = name
			if got := loadsOf(f.apply(cfg).current().balancer); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestPanicUsesAllHosts, and counts it.
func TestPanicUsesAllHosts(t *testing.T) {
	f := newFixture(t)
	c := f.apply(specs(50, 0, spec{1, 0, 3}))
	if got := picks(t, c, 1000); len(got) != 4 {
		t.Errorf("picked %v", got)
	}
	if n := c.Stats.LBHealthyPanic.Load(); n != 1000 {
		t.Errorf("%d picks in panic were counted", n)
	}
}

// TestLocalityWeights: weights of localities decide, not the numbers of hosts; one that lost hosts gets less.
func TestLocalityWeights(t *testing.T) {
	at := func(region string, weight uint32, from, n, down int) config.Locality {
		l := config.Locality{Region: region, Weight: weight, Hosts: endpoints(from + n)[from:]}
		for i := range down {
			l.Hosts[i].Health = config.Unhealthy
		}
		return l
	}
	f := newFixture(t)
	for _, policy := range []config.LBPolicy{config.LBRoundRobin, config.LBLeastRequest, config.LBRandom, config.LBRingHash, config.LBMaglev} {
		for name, c := range map[string]struct {
			list []config.Locality
			want map[string]float64
		}{
			"3 to 1":            {[]config.Locality{at("a", 3, 0, 1, 0), at("b", 1, 1, 2, 0)}, map[string]float64{"10.0.0.0:80": 0.75, "10.0.0.1:80": 0.125, "10.0.0.2:80": 0.125}},
			"none of no weight": {[]config.Locality{at("a", 0, 0, 1, 0), at("b", 1, 1, 1, 0)}, map[string]float64{"10.0.0.1:80": 1}},
			// half of b is down: its weight is 0.5 × 1.4 = 0.7 of what it was
			"one is weak": {[]config.Locality{at("a", 1, 0, 1, 0), at("b", 1, 1, 2, 1)}, map[string]float64{"10.0.0.0:80": 1 / 1.7, "10.0.0.2:80": 0.7 / 1.7}},
		} {
			t.Run(fmt.Sprint(policy, name), func(t *testing.T) {
				cfg := localities(fmt.Sprint(policy, name), c.list...)
				cfg.LB.LocalityWeighted, cfg.LB.Policy, cfg.LB.RingMin = true, policy, 1<<16
				expectShares(t, picks(t, f.apply(cfg), 20000), c.want, 0.02)
			})
		}
	}
}

// TestLeftOut: hosts that said themselves that they are ill don't move requests to other priorities, nor make panic; in
// panic they are used like others.
func TestLeftOut(t *testing.T) {
	f := newFixture(t)
	cfg := specs(50, 100, spec{healthy: 3}, spec{healthy: 2})
	c := f.apply(cfg)
	leave := func(hosts ...member) map[group]float64 {
		for _, m := range hosts {
			m.host.set(failedActive | excluded)
		}
		c.changes.Add(1)
		return loadsOf(c.current().balancer)
	}
	members := c.current().members
	if got := leave(members[:2]...); len(got) != 1 || got[group{0, 0}] != 100 {
		t.Errorf("two of three left out: %v", got)
	}
	members[2].host.set(failedActive)
	if got := leave(); got[group{1, 0}] != 100 {
		t.Errorf("the last one is ill: %v", got)
	}
	if got := leave(members...); got[group{0, -1}] != 60 || got[group{1, -1}] != 40 {
		t.Errorf("all left out: %v", got)
	}
}
