package upstream

import (
	"fmt"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// weighted is a cluster of hosts with these weights under a policy.
func weighted(policy config.LBPolicy, weights ...uint32) *config.Cluster {
	list := endpoints(len(weights))
	for i, w := range weights {
		list[i].Weight = w
	}
	c := static(fmt.Sprint(policy, weights), list...)
	c.LB.Policy = policy
	return c
}

// expectShares fails if a host's part of all picks is more than tolerance (of the whole) from what it should be. The dice
// are the same in each run, so this can't fail now and then.
func expectShares(t *testing.T, got map[string]int, want map[string]float64, tolerance float64) {
	t.Helper()
	all := 0
	for _, n := range got {
		all += n
	}
	for host, share := range want {
		if is := float64(got[host]) / float64(all); is < share-tolerance || is > share+tolerance {
			t.Errorf("%s has %.4f of %d picks, want %.4f", host, is, all, share)
		}
	}
	for host := range got {
		if _, ok := want[host]; !ok {
			t.Errorf("%s was picked", host)
		}
	}
}

func shares(weights ...uint32) map[string]float64 {
	sum, want := 0.0, map[string]float64{}
	for _, w := range weights {
		sum += float64(w)
	}
	for i, w := range weights {
		want[numbered(i).String()] = float64(w) / sum
	}
	return want
}

// TestWeights: whatever the policy, idle hosts get requests in proportion to their weights.
func TestWeights(t *testing.T) {
	f := newFixture(t)
	for _, policy := range []config.LBPolicy{config.LBRoundRobin, config.LBLeastRequest, config.LBRandom, config.LBRingHash, config.LBMaglev} {
		for _, weights := range [][]uint32{{1}, {1, 1, 1}, {1, 2, 3, 4}, {1, 1, 100}, {5000, 2500, 2500}} {
			t.Run(fmt.Sprint(policy, weights), func(t *testing.T) {
				tolerance := 0.01
				if policy == config.LBRingHash {
					tolerance = 0.1 // a ring of 1024 points is as uneven as this
				}
				expectShares(t, picks(t, f.apply(weighted(policy, weights...)), 40000), shares(weights...), tolerance)
			})
		}
	}
}

// TestRoundRobinIsEven: every run of picks as long as the sum of weights has each host as often as its weight.
func TestRoundRobinIsEven(t *testing.T) {
	f := newFixture(t)
	c := f.apply(weighted(config.LBRoundRobin, 1, 2, 3))
	for range 5 {
		if got := picks(t, c, 6); got["10.0.0.0:80"] != 1 || got["10.0.0.1:80"] != 2 || got["10.0.0.2:80"] != 3 {
			t.Errorf("six picks: %v", got)
		}
	}
	if order := spread([]int{1, 4}); fmt.Sprint(order) != "[1 1 0 1 1]" {
		t.Errorf("the heavy host's turns aren't spread: %v", order)
	}
}

// TestTurnsAreBounded whatever the weights are.
func TestTurnsAreBounded(t *testing.T) {
	for _, weights := range [][]float64{{1, 1 << 31}, {0.1, 1, 0.37}, {1e9, 1e9 - 1, 3}, make([]float64, 5000)} {
		for i := range weights {
			if weights[i] == 0 {
				weights[i] = float64(1 + i%7)
			}
		}
		sum := 0
		for _, n := range turns(weights) {
			if n < 1 {
				t.Errorf("%v: a host has no turn", weights)
			}
			sum += n
		}
		if sum > max(longestOrder, 16*len(weights))+len(weights) {
			t.Errorf("%d turns of %d hosts", sum, len(weights))
		}
	}
}

// TestLeastRequest: of two random hosts the idler one. With n hosts, one of them idle, it is drawn by 1-(1-1/n)² of all.
func TestLeastRequest(t *testing.T) {
	f := newFixture(t)
	c := f.apply(weighted(config.LBLeastRequest, 1, 1, 1, 1))
	for i, m := range c.current().members {
		m.host.Active.Store(int64(i) * 10)
	}
	got := picks(t, c, 20000)
	expectShares(t, got, map[string]float64{"10.0.0.0:80": 7. / 16, "10.0.0.1:80": 5. / 16, "10.0.0.2:80": 3. / 16, "10.0.0.3:80": 1. / 16}, 0.01)
	cfg := weighted(config.LBLeastRequest, 1, 1, 1, 1)
	cfg.LB.Choices = 8
	c = f.apply(cfg) // the same hosts, busy as they are
	if got := picks(t, c, 1000)["10.0.0.0:80"]; got < 850 {
		t.Errorf("of eight drawn the idle host is picked %d times of 1000", got)
	}
}

// TestWeightedLeastRequest: with bias 0 load doesn't matter; with 1 a busy host gets less than its weight says.
func TestWeightedLeastRequest(t *testing.T) {
	f := newFixture(t)
	for bias, want := range map[float64]map[string]float64{
		0: {"10.0.0.0:80": 0.25, "10.0.0.1:80": 0.75},
		// Of draws (heavy, heavy) 9/16, mixed 6/16, (light, light) 1/16; a mixed one keeps the heavy host in 1/(1+3) cases.
		1: {"10.0.0.0:80": 1./16 + 6./16*3/4, "10.0.0.1:80": 9./16 + 6./16/4},
		2: {"10.0.0.0:80": 1./16 + 6./16*9/10, "10.0.0.1:80": 9./16 + 6./16/10},
	} {
		cfg := weighted(config.LBLeastRequest, 1, 3)
		cfg.LB.Bias = bias
		c := f.apply(cfg)
		c.current().members[1].host.Active.Store(2)
		expectShares(t, picks(t, c, 40000), want, 0.01)
	}
}

// TestSlowStart: a new host gets a tenth first, then more in proportion to its age.
func TestSlowStart(t *testing.T) {
	f := newFixture(t)
	cfg := weighted(config.LBRandom, 1)
	cfg.LB.Policy, cfg.LB.SlowStart = config.LBLeastRequest, 10*time.Second
	c := f.apply(cfg)
	c.current()
	f.pass(time.Minute)
	cfg.Endpoints.Store(&config.Endpoints{Localities: []config.Locality{{Hosts: endpoints(2)}}})
	for _, step := range []struct {
		pass time.Duration
		want float64
	}{{0, 0.1}, {5 * time.Second, 0.5}, {3 * time.Second, 0.8}, {3 * time.Second, 1}} {
		f.pass(step.pass)
		expectShares(t, picks(t, c, 20000), map[string]float64{"10.0.0.0:80": 1 / (1 + step.want), "10.0.0.1:80": step.want / (1 + step.want)}, 0.01)
	}
	if c.current().warming {
		t.Error("the set is made anew for ever")
	}
}
