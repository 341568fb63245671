package upstream

import "slices"

// measure sets how much of a priority's load its healthy and its degraded hosts can bear, in percent, and returns what
// all can bear together, up to 100.
func (m *maker) measure(levels []level) uint32 {
	total := uint32(0)
	for i := range levels {
		l := &levels[i]
		for kind := range l.health {
			l.health[kind] = uint32(min(percent, uint64(m.over)*uint64(l.count[kind])/uint64(max(l.eligible(), 1))))
			total += l.health[kind]
		}
	}
	return min(total, percent)
}

// panics says which priorities use all their hosts because too few are healthy. None does while the others can bear
// the load.
func (m *maker) panics(levels []level, available uint32) []bool {
	panics := make([]bool, len(levels))
	if available == percent || m.lb.PanicPercent == 0 {
		return panics
	}
	for i := range levels {
		l := &levels[i]
		usable := float64(l.count[healthy]+l.count[degraded]) * percent / float64(max(l.eligible(), 1))
		panics[i] = usable < m.lb.PanicPercent
	}
	return panics
}

// loads returns the percentages of requests for healthy and for degraded hosts by priority. Their sum is 100, or 0 if
// there is no host to go to. In panic everywhere the numbers of hosts decide.
func (m *maker) loads(levels []level, panics []bool, available uint32) (loads [2][]uint32) {
	loads = [2][]uint32{make([]uint32, len(levels)), make([]uint32, len(levels))}
	if !slices.Contains(panics, false) {
		bySize(levels, loads[healthy])
		return loads
	}
	if available == 0 {
		return loads
	}
	left, first := uint32(percent), (*uint32)(nil)
	for kind := range loads {
		for i := range levels {
			loads[kind][i] = min(left, levels[i].health[kind]*percent/available)
			left -= loads[kind][i]
			if first == nil && levels[i].health[kind] > 0 {
				first = &loads[kind][i]
			}
		}
	}
	*first += left // what rounding left
	return loads
}

func bySize(levels []level, loads []uint32) {
	all := 0
	for i := range levels {
		all += len(levels[i].members)
	}
	left := uint32(percent)
	for i := range levels {
		loads[i] = uint32(len(levels[i].members) * percent / all)
		left -= loads[i]
	}
	loads[0] += left
}
