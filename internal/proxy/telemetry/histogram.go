package telemetry

import (
	"math"
	"sort"
)

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

// quantiles are the ones Envoy tells.
var quantiles = [...]float64{0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1}

// quantile estimates the value below which that share lies, on a straight line within a bucket. It is NaN if nothing was
// recorded. What lies above the last bound counts as the last bound.
func (d *distribution) quantile(share float64) float64 {
	total := d.count()
	if total == 0 {
		return math.NaN()
	}
	want, below := share*float64(total), 0.0
	for i, n := range d.buckets {
		if n == 0 {
			continue
		}
		if below+float64(n) >= want {
			low, high := bucketEnds(i)
			return low + (high-low)*max(want-below, 0)/float64(n)
		}
		below += float64(n)
	}
	return bounds[len(bounds)-1]
}

func bucketEnds(i int) (low, high float64) {
	if i > 0 {
		low = bounds[i-1]
	}
	if i == len(bounds) {
		return low, low
	}
	return low, bounds[i]
}
