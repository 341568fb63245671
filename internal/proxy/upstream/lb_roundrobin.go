package upstream

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"
)

// roundRobin is ROUND_ROBIN: members in an order made in advance, in which each stands as often as its weight says, spread
// evenly.
type roundRobin struct {
	members []member
	order   []uint32 // of members; nil: as they are
	next    atomic.Uint64
}

// The order is at most this long, or 16 places a host; weights of larger sums are rounded, to at least one place.
const longestOrder = 4096

func newRoundRobin(usable []member, seed uint64) *roundRobin {
	r := &roundRobin{members: usable}
	r.next.Store(seed >> 1) // proxies started together don't all begin with the same host
	if weights := weightsOf(usable); weights != nil {
		r.order = spread(turns(weights))
	}
	return r
}

func (r *roundRobin) pick(draw) *Host {
	n := r.next.Add(1)
	if r.order == nil {
		return r.members[n%uint64(len(r.members))].host
	}
	return r.members[r.order[n%uint64(len(r.order))]].host
}

// turns are the numbers of places of hosts with these weights.
func turns(weights []float64) []int {
	sum, divisor := 0.0, 0.0
	for _, w := range weights {
		sum, divisor = sum+w, gcd(w, divisor)
	}
	if longest := float64(max(longestOrder, 16*len(weights))); divisor < 1e-3 || sum/divisor > longest {
		divisor = sum / longest
	}
	counts := make([]int, len(weights))
	for i, w := range weights {
		counts[i] = max(1, int(math.Round(w/divisor)))
	}
	return counts
}

// gcd is the greatest common divisor of whole numbers; of others, which slow start makes, something small.
func gcd(a, b float64) float64 {
	for b > 1e-3 {
		a, b = b, math.Mod(a, b)
	}
	return a
}

// spread puts a member of n turns at 1/2n, 3/2n, 5/2n … of the order.
func spread(counts []int) []uint32 {
	type turn struct {
		at     float64
		member uint32
	}
	var all []turn
	for i, n := range counts {
		for k := range n {
			all = append(all, turn{(float64(k) + 0.5) / float64(n), uint32(i)})
		}
	}
	slices.SortStableFunc(all, func(a, b turn) int { return cmp.Compare(a.at, b.at) })
	order := make([]uint32, len(all))
	for i := range all {
		order[i] = all[i].member
	}
	return order
}
