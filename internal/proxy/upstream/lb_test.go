package upstream

import (
	"fmt"
	"testing"

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
