package route

import (
	"math/bits"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Choose returns the name of the cluster that f sends x to, and the share it took if f has several. The name is empty
// if cluster_header names none: 503 NC. chance are 64 random bits, the ones Match had will do.
func Choose(f *config.Forward, x *stream.Exchange, chance uint64, tr *stream.Trace) (string, *config.WeightedCluster) {
	switch {
	case len(f.Weighted) > 0:
		w := share(f, x, chance)
		if tr.On() {
			tr.Note("cluster", "%s: one of %d by weight %d", w.Name, len(f.Weighted), w.Weight)
		}
		if w.Name == "" && w.ClusterHeader != "" {
			return fromHeader(w.ClusterHeader, x, tr), w
		}
		return w.Name, w
	case f.ClusterHeader != "":
		return fromHeader(f.ClusterHeader, x, tr), nil
	default:
		if tr.On() {
			tr.Note("cluster", "%s: the route's", f.Cluster)
		}
		return f.Cluster, nil
	}
}

func fromHeader(name string, x *stream.Exchange, tr *stream.Trace) string {
	cluster, _ := x.Request.Header(name)
	if tr.On() {
		tr.Note("cluster", "%q: by header %s", cluster, name)
	}
	return cluster
}

// share chooses by weight. Match has used the low bits of chance for its fractions, so these are other ones.
func share(f *config.Forward, x *stream.Exchange, chance uint64) *config.WeightedCluster {
	total := uint64(f.TotalWeight)
	if total == 0 {
		for i := range f.Weighted {
			total += uint64(f.Weighted[i].Weight)
		}
	}
	chance = bits.RotateLeft64(chance, 32)
	if f.WeightHeader != "" {
		if value, ok := x.Request.Joined(f.WeightHeader); ok {
			chance = number(value)
		}
	}
	point := chance % max(total, 1)
	for i := range f.Weighted {
		w := uint64(f.Weighted[i].Weight)
		if point < w {
			return &f.Weighted[i]
		}
		point -= w
	}
	return &f.Weighted[len(f.Weighted)-1]
}

// number makes a choice out of a header: proxies before us may have sent a number they drew, anything else is hashed.
func number(value string) uint64 {
	if n, err := strconv.ParseUint(value, 10, 64); err == nil {
		return n
	}
	return xxhash.Sum64String(value)
}
