package upstream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// zoned is a manager whose proxy is in zone a; "proxies" is the local cluster.
func zoned(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.opts.LocalCluster, f.home = "proxies", spot{zone: "a"}
	return f
}

// inZones are hosts by zone: the first zone has counts[0] of them, the next counts[1] … The last `down` of each are unwell.
func inZones(name string, first, down int, counts ...int) *config.Cluster {
	var list []config.Locality
	for i, n := range counts {
		l := config.Locality{Zone: string(rune('a' + i)), Hosts: endpoints(first + n)[first:]}
		for j := range min(down, n) {
			l.Hosts[n-1-j].Health = config.Unhealthy
		}
		first += n
		list = append(list, l)
	}
	c := localities(name, list...)
	c.LB.Zones = config.ZoneAware{PerMillion: 1e6, MinHosts: 1}
	return c
}

// byZone is where picks go, in parts of all.
func byZone(t *testing.T, c *Cluster, n int) map[string]float64 {
	t.Helper()
	parts := map[string]float64{}
	for range n {
		h, err := c.Pick(&Choice{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		parts[h.Locality().Zone] += 1 / float64(n)
	}
	return parts
}

// slowZones is what should be, by fractions: the own zone's part is what its hosts can bear of its proxies' requests, and
// others get the rest by what they can bear more than their own.
func slowZones(proxies, hosts []int) map[string]float64 {
	sum := func(list []int) (n float64) {
		for _, each := range list {
			n += float64(each)
		}
		return n
	}
	ours := func(i int) float64 {
		if i >= len(proxies) {
			return 0
		}
		return float64(proxies[i]) / sum(proxies)
	}
	theirs := func(i int) float64 { return float64(hosts[i]) / sum(hosts) }
	stays, spare := min(1, theirs(0)/ours(0)), 0.0
	for i := 1; i < len(hosts); i++ {
		spare += max(0, theirs(i)-ours(i))
	}
	want := map[string]float64{"a": stays}
	for i := 1; i < len(hosts) && stays < 1; i++ {
		want[string(rune('a'+i))] = (1 - stays) * max(0, theirs(i)-ours(i)) / spare
	}
	return want
}

// TestZonesAgreeWithASlowSecondVersion, for random numbers of proxies and hosts in up to five zones.
func TestZonesAgreeWithASlowSecondVersion(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	numbers := func(least, zones int) []int {
		list := make([]int, zones)
		for i := range list {
			list[i] = least + dice.IntN(10)
		}
		return list
	}
	for round := range 60 {
		f := zoned(t)
		zones := 2 + dice.IntN(4)
		proxies, hosts := numbers(1, zones), numbers(1, zones)
		policy := []config.LBPolicy{config.LBRoundRobin, config.LBLeastRequest, config.LBRandom}[round%3]
		cfg := inZones("app", 0, 0, hosts...)
		cfg.LB.Policy = policy
		c := f.apply(cfg, inZones("proxies", 1000, 0, proxies...))
		got, want := byZone(t, c, 4000), slowZones(proxies, hosts)
		for i := range zones {
			zone := string(rune('a' + i))
			if off := got[zone] - want[zone]; off > 0.04 || off < -0.04 {
				t.Errorf("%v proxies, %v hosts: zone %s gets %.3f, want %.3f", proxies, hosts, zone, got[zone], want[zone])
			}
		}
	}
}

// TestZones has when localities count, and when all hosts are chosen from alike.
func TestZones(t *testing.T) {
	alike := map[string]float64{"a": 0.25, "b": 0.75}
	home := map[string]float64{"a": 1}
	for name, c := range map[string]struct {
		app, proxies *config.Cluster
		change       func(*config.LB)
		want         map[string]float64
		stat         string
	}{
		"hosts enough here":       {inZones("app", 0, 0, 2, 2), inZones("proxies", 100, 0, 1, 1), nil, home, "lb_zone_routing_all_directly"},
		"too few here":            {inZones("app", 0, 0, 2, 6), inZones("proxies", 100, 0, 1, 1), nil, map[string]float64{"a": 0.5, "b": 0.5}, "lb_zone_routing_cross_zone"},
		"forced":                  {inZones("app", 0, 0, 2, 6), inZones("proxies", 100, 0, 1, 1), func(lb *config.LB) { lb.Zones.ForceLocal = 2 }, home, "lb_zone_routing_all_directly"},
		"not enough to be forced": {inZones("app", 0, 0, 2, 6), inZones("proxies", 100, 0, 1, 1), func(lb *config.LB) { lb.Zones.ForceLocal = 3 }, map[string]float64{"a": 0.5, "b": 0.5}, "lb_zone_routing_sampled"},
		"no host here":            {inZones("app", 0, 0, 0, 3, 3), inZones("proxies", 100, 0, 1, 1, 1), nil, map[string]float64{"b": 0.5, "c": 0.5}, "lb_zone_routing_cross_zone"},
		"unwell here":             {inZones("app", 0, 2, 2, 6), inZones("proxies", 100, 0, 1, 1), nil, map[string]float64{"b": 1}, "lb_zone_routing_cross_zone"},
		"one zone":                {inZones("app", 0, 0, 3), inZones("proxies", 100, 0, 1, 1), nil, home, ""},
		"proxies in one zone":     {inZones("app", 0, 0, 2, 6), inZones("proxies", 100, 0, 1), nil, alike, ""},
		"no proxy here":           {inZones("app", 0, 0, 2, 6), inZones("proxies", 100, 0, 0, 1, 1), nil, alike, "lb_local_cluster_not_ok"},
		"proxies in panic":        {inZones("app", 0, 0, 2, 6), inZones("proxies", 100, 3, 4, 4), nil, alike, "lb_local_cluster_not_ok"},
		"too small":               {inZones("app", 0, 0, 2, 6), inZones("proxies", 100, 0, 1, 1), func(lb *config.LB) { lb.Zones.MinHosts = 9 }, alike, "lb_zone_cluster_too_small"},
		"no local cluster":        {inZones("app", 0, 0, 2, 6), inZones("others", 100, 0, 1, 1), nil, alike, ""},
		"switched off":            {inZones("app", 0, 0, 2, 6), inZones("proxies", 100, 0, 1, 1), func(lb *config.LB) { lb.Zones.PerMillion = 0 }, alike, ""},
		"half of the requests":    {inZones("app", 0, 0, 4, 4), inZones("proxies", 100, 0, 1, 1), func(lb *config.LB) { lb.Zones.PerMillion = 5e5 }, map[string]float64{"a": 0.75, "b": 0.25}, ""},
		"panic":                   {inZones("app", 0, 4, 4, 4), inZones("proxies", 100, 0, 1, 1), nil, map[string]float64{"a": 0.5, "b": 0.5}, "lb_healthy_panic"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.change != nil {
				c.change(&c.app.LB)
			}
			f := zoned(t)
			cluster := f.apply(c.app, c.proxies)
			got := byZone(t, cluster, 4000)
			for zone := range map[string]bool{"a": true, "b": true, "c": true} {
				if off := got[zone] - c.want[zone]; off > 0.03 || off < -0.03 {
					t.Errorf("zone %s gets %.3f, want %.3f", zone, got[zone], c.want[zone])
				}
			}
			if n := statOf(cluster, c.stat); c.stat != "" && n == 0 {
				t.Errorf("%s is 0", c.stat)
			}
		})
	}
}

func statOf(c *Cluster, name string) uint64 {
	s := c.Stats
	return map[string]uint64{
		"lb_zone_routing_all_directly": s.LBZoneDirectly.Load(), "lb_zone_routing_cross_zone": s.LBZoneCross.Load(),
		"lb_zone_routing_sampled": s.LBZoneSampled.Load(), "lb_local_cluster_not_ok": s.LBLocalClusterNotOK.Load(),
		"lb_zone_cluster_too_small": s.LBZoneTooSmall.Load(), "lb_healthy_panic": s.LBHealthyPanic.Load(),
	}[name]
}

// TestZonesOfOtherPriorities: only priority 0 is routed by zone.
func TestZonesOfOtherPriorities(t *testing.T) {
	f := zoned(t)
	cfg := inZones("app", 0, 0, 4, 4)
	list := cfg.Endpoints.Load().Localities
	for i := range list {
		list[i].Priority = 1
	}
	expect := byZone(t, f.apply(cfg, inZones("proxies", 100, 0, 1, 1)), 2000)
	if expect["a"] < 0.4 || expect["b"] < 0.4 {
		t.Errorf("%v", expect)
	}
}

// TestFailOnPanic: requests fail where too few hosts, or too few proxies, are healthy.
func TestFailOnPanic(t *testing.T) {
	for name, down := range map[string][2]int{"hosts": {4, 0}, "proxies": {0, 4}} {
		f := zoned(t)
		cfg := inZones("app", 0, down[0], 4, 4)
		cfg.LB.Zones.FailOnPanic = true
		c := f.apply(cfg, inZones("proxies", 100, down[1], 4, 4))
		if h, err := c.Pick(&Choice{}, nil); !errors.Is(err, ErrNoHost) {
			t.Errorf("%s: %v, %v", name, h, err)
		}
	}
}

// TestZonesFollow: what the local cluster's hosts become counts for the next request, also when it comes or goes.
func TestZonesFollow(t *testing.T) {
	f := zoned(t)
	app, proxies := inZones("app", 0, 0, 2, 6), inZones("proxies", 100, 0, 1, 1)
	c := f.apply(app)
	expect := func(what string, want float64) {
		t.Helper()
		if got := byZone(t, c, 2000)["a"]; got < want-0.05 || got > want+0.05 {
			t.Errorf("%s: %.3f stay, want %.3f", what, got, want)
		}
	}
	expect("without proxies", 0.25)
	f.apply(app, proxies)
	expect("a proxy of two is here", 0.5)
	proxies.Endpoints.Store(inZones("proxies", 100, 0, 1, 3).Endpoints.Load())
	expect("a proxy of four is here", 1)
	for _, m := range f.Cluster("proxies").hosts().members[2:] {
		m.host.set(failedOutlier)
	}
	f.Cluster("proxies").changes.Add(1)
	expect("a proxy of two is here again, the others are unwell", 0.5)
	f.apply(app)
	expect("the local cluster is gone", 0.25)
}

// TestLocalClusterItself isn't routed by itself.
func TestLocalClusterItself(t *testing.T) {
	f := zoned(t)
	c := f.apply(inZones("proxies", 100, 0, 2, 2))
	if got := byZone(t, c, 2000); got["b"] < 0.4 {
		t.Errorf("%v", got)
	}
}

func TestZonesByWeight(t *testing.T) {
	f := zoned(t)
	cfg := inZones("app", 0, 0, 1, 3)
	cfg.LB.Zones.ByWeight = true
	cfg.Endpoints.Load().Localities[0].Hosts[0].Weight = 3
	if got := byZone(t, f.apply(cfg, inZones("proxies", 100, 0, 1, 1)), 500); got["a"] < 0.99 {
		t.Errorf("%v", got)
	}
}

func TestZonesAreExplained(t *testing.T) {
	f := zoned(t)
	c := f.apply(inZones("app", 0, 0, 2, 6), inZones("proxies", 100, 0, 1, 1))
	var tr stream.Trace
	_, _ = c.Pick(&Choice{}, &tr)
	if text := fmt.Sprint(tr.Steps); !strings.Contains(text, "5000 of 10000 requests stay") {
		t.Error(text)
	}
}

// TestZonesAllocate: nothing.
func TestZonesAllocate(t *testing.T) {
	f := zoned(t)
	c := f.apply(inZones("app", 0, 0, 2, 6), inZones("proxies", 100, 0, 1, 1))
	var choice Choice
	if n := testing.AllocsPerRun(100, func() { _, _ = c.Pick(&choice, nil) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
