package upstream

import "slices"

// alias draws numbers with given weights in constant time (Walker's alias method). A nil one draws all alike.
type alias struct {
	keep  []uint32 // of 2^32: how often place i stands for itself
	other []uint32 // and for whom else
}

// newAlias makes an alias of weights, which are not negative and not all 0. It is nil if all are equal: chance alone will
// do.
func newAlias(weights []float64) *alias {
	if equal(weights) {
		return nil
	}
	a := &alias{keep: make([]uint32, len(weights)), other: make([]uint32, len(weights))}
	scaled, small, large := scale(weights)
	for len(small) > 0 && len(large) > 0 { // a large one fills up what a small one lacks
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.keep[s], a.other[s] = uint32(scaled[s]*(1<<32-1)), uint32(l)
		if scaled[l] -= 1 - scaled[s]; scaled[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) { // 1 but for rounding
		a.keep[i], a.other[i] = 1<<32-1, uint32(i)
	}
	return a
}

// scale makes the mean weight 1, and says which are below it and which aren't.
func scale(weights []float64) (scaled []float64, small, large []int) {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	scaled = make([]float64, len(weights))
	for i, w := range weights {
		if scaled[i] = w / sum * float64(len(weights)); scaled[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	return scaled, small, large
}

func equal(weights []float64) bool {
	return !slices.ContainsFunc(weights, func(w float64) bool { return w != weights[0] })
}

// draw maps random to 0 … n-1.
func (a *alias) draw(random uint64, n int) int {
	at := below(random, n)
	if a == nil || uint32(random) <= a.keep[at] {
		return at
	}
	return int(a.other[at])
}

// random is RANDOM: by chance, in proportion to the weights.
type random struct {
	members []member
	by      *alias
}

func newRandom(usable []member) *random { return &random{usable, newAlias(weightsOf(usable))} }

func (r *random) pick(d draw) *Host {
	return r.members[r.by.draw(d.random, len(r.members))].host
}

// weightsOf are the weights of members, nil if all are equal.
func weightsOf(members []member) []float64 {
	if !slices.ContainsFunc(members, func(m member) bool { return m.weight != members[0].weight }) {
		return nil
	}
	return allWeights(members)
}

func allWeights(members []member) []float64 {
	weights := make([]float64, len(members))
	for i := range members {
		weights[i] = members[i].weight
	}
	return weights
}
