package upstream

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Sizes of Maglev's table: the default of the paper, and Envoy's limit. Sizes are prime.
const (
	defaultTable = 65537
	largestTable = 5000011
)

// maglev is a table of the Maglev paper (listing 1), with weights as Envoy adds them: a host with a third of the largest
// weight gets a place every third round. Hosts take their turns in the order of their keys.
type maglev struct {
	places []uint32 // index of hosts
	hosts  []keyed
}

// candidate walks through the places of the table in a host's own order.
type candidate struct {
	at, skip     uint64
	weight, goal float64
}

func newMaglev(hosts []keyed, lb *config.LB) table {
	size := tableSize(lb.TableSize)
	hosts = slices.Clone(hosts)
	slices.SortStableFunc(hosts, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
	all, largest := candidates(hosts, size)
	m := &maglev{places: make([]uint32, size), hosts: hosts}
	for i := range m.places {
		m.places[i] = free
	}
	for round, filled := 1, uint64(0); filled < size; round++ {
		for i := range all {
			c := &all[i]
			if float64(round)*c.weight < c.goal {
				continue
			}
			c.goal += largest
			m.places[c.next(m.places)] = uint32(i)
			if filled++; filled == size {
				break
			}
		}
	}
	return m
}

const free = 1<<32 - 1

// tableSize is n if the algorithm works with it: prime, so that every step visits every place.
func tableSize(n uint64) uint64 {
	if n < 2 || n > largestTable {
		return defaultTable
	}
	for d := uint64(2); d*d <= n; d++ {
		if n%d == 0 {
			return defaultTable
		}
	}
	return n
}

func candidates(hosts []keyed, size uint64) ([]candidate, float64) {
	all, largest := make([]candidate, len(hosts)), 0.0
	seeded := xxhash.NewWithSeed(1)
	for i, h := range hosts {
		seeded.ResetWithSeed(1)
		_, _ = seeded.WriteString(h.key)
		all[i] = candidate{at: xxhash.Sum64String(h.key) % size, skip: seeded.Sum64()%(size-1) + 1, weight: h.weight}
		largest = max(largest, h.weight)
	}
	return all, largest
}

// next takes the host's next free place.
func (c *candidate) next(places []uint32) uint64 {
	size := uint64(len(places))
	for places[c.at] != free {
		c.at = (c.at + c.skip) % size
	}
	took := c.at
	c.at = (c.at + c.skip) % size
	return took
}

// find returns the host at hash; further attempts look it up with other upper bits.
func (m *maglev) find(hash uint64, attempt uint32) *Host {
	if attempt > 0 {
		hash ^= -uint64(attempt)
	}
	return m.hosts[m.places[hash%uint64(len(m.places))]].host
}
