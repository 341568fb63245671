package upstream

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Envoy's defaults of ring_hash_lb_config.
const (
	defaultRingMin = 1024
	defaultRingMax = 8 << 20
)

// ring is a ketama ring. Each host stands at xxhash64(key + "_" + i) for i = 0 …, as often as its weight says.
type ring struct {
	points []point  // sorted
	starts []uint32 // the first point whose hash has at least these leading bits: almost where it is
	shift  int
	hosts  []keyed
}

type point struct {
	hash uint64
	host uint32
}

// newRing makes a ring in which the host of the smallest weight stands a whole number of times. As shares of the others
// may be broken numbers, hosts are given points until their running sum is reached.
func newRing(hosts []keyed, lb *config.LB) table {
	scale := ringScale(hosts, lb)
	r := &ring{hosts: hosts, points: make([]point, 0, int(scale)+1)}
	var key []byte
	have, want := 0.0, 0.0
	for i, h := range hosts {
		want += scale * h.weight
		key = append(append(key[:0], h.key...), '_')
		for n := 0; have < want; n++ {
			hash := xxhash.Sum64(strconv.AppendInt(key, int64(n), 10))
			r.points = append(r.points, point{hash, uint32(i)})
			have++
		}
	}
	slices.SortFunc(r.points, func(a, b point) int { return cmp.Compare(a.hash, b.hash) })
	r.index()
	return r
}

// index makes starts as long as there are points, roughly: then about one point is looked at for a hash.
func (r *ring) index() {
	width := bits.Len(uint(len(r.points)))
	r.shift = 64 - width
	r.starts = make([]uint32, 1<<width)
	at := 0
	for i := range r.starts {
		for at < len(r.points) && r.points[at].hash>>r.shift < uint64(i) {
			at++
		}
		r.starts[i] = uint32(at)
	}
}

func ringScale(hosts []keyed, lb *config.LB) float64 {
	least := 1.0
	for _, h := range hosts {
		least = min(least, h.weight)
	}
	smallest, largest := float64(cmp.Or(lb.RingMin, defaultRingMin)), float64(cmp.Or(lb.RingMax, defaultRingMax))
	return math.Min(math.Ceil(least*smallest)/least, min(largest, defaultRingMax))
}

// find returns the host of the first point at or after hash; further attempts count points on from there.
func (r *ring) find(hash uint64, attempt uint32) *Host {
	at := int(r.starts[hash>>r.shift])
	for at < len(r.points) && r.points[at].hash < hash {
		at++
	}
	if at == len(r.points) {
		at = 0
	}
	return r.hosts[r.points[(at+int(attempt))%len(r.points)].host].host
}
