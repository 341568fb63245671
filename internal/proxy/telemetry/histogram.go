package telemetry

import "sort"

// bounds are the upper ends of Envoy's default buckets, in milliseconds or bytes.
var bounds = [...]float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}

// Histogram counts values by size. The zero value is empty.
type Histogram struct {
	buckets [len(bounds) + 1]Counter
	sum     Counter
}

// Record counts one value: milliseconds or bytes, as the histogram's name says.
func (h *Histogram) Record(value uint64) {
	h.buckets[bucketOf(value)].Add(1)
	h.sum.Add(value)
}

// bucketOf returns the first bucket whose bound isn't below value. Most times are short, so it looks from below.
func bucketOf(value uint64) int {
	if value > 100 {
		return sort.SearchFloat64s(bounds[:], float64(value))
	}
	for i, bound := range bounds {
		if float64(value) <= bound {
			return i
		}
	}
	return len(bounds)
}

// distribution is what histograms held at one moment, summed over shards.
type distribution struct {
	buckets [len(bounds) + 1]uint64
	sum     uint64
}

func (d *distribution) add(h *Histogram) {
	for i := range h.buckets {
		d.buckets[i] += h.buckets[i].Load()
	}
	d.sum += h.sum.Load()
}

func (d *distribution) count() (n uint64) {
	for _, c := range d.buckets {
		n += c
	}
	return n
}
