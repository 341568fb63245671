package upstream

// alias draws numbers with given weights in constant time (Walker's alias method). A nil one draws nothing.
type alias struct {
	keep  []uint32 // of 2^32: how often place i stands for itself
	other []uint32 // and for whom else
}

// newAlias makes an alias of weights, which are not negative and not all 0. If all are equal it is cheaper.
func newAlias(weights []float64) *alias {
	a := &alias{keep: make([]uint32, len(weights)), other: make([]uint32, len(weights))}
	if equal(weights) {
		a.keep = nil
		return a
	}
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	var small, large []int
	scaled := make([]float64, len(weights))
	for i, w := range weights {
		scaled[i] = w / sum * float64(len(weights))
		if scaled[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
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

func equal(weights []float64) bool {
	for _, w := range weights {
		if w != weights[0] {
			return false
		}
	}
	return true
}

// draw maps random to 0 … n-1.
func (a *alias) draw(random uint64) int {
	at := below(random, len(a.other))
	if a.keep == nil || uint32(random) <= a.keep[at] {
		return at
	}
	return int(a.other[at])
}

// random is RANDOM: by chance, in proportion to the weights.
type random struct {
	hosts []*Host
	by    *alias
}

func newRandom(usable []member) *random {
	hosts, weights := apart(usable)
	return &random{hosts, newAlias(weights)}
}

func (r *random) pick(d draw) *Host { return r.hosts[r.by.draw(d.random)] }

func apart(usable []member) ([]*Host, []float64) {
	hosts, weights := make([]*Host, len(usable)), make([]float64, len(usable))
	for i := range usable {
		hosts[i], weights[i] = usable[i].host, usable[i].weight
	}
	return hosts, weights
}
