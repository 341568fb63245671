package upstream

import (
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// table finds hosts by hash. Attempt 0 is where a hash belongs; others lead elsewhere, mostly.
type table interface {
	find(hash uint64, attempt uint32) *Host
}

// hashed is RING_HASH and MAGLEV. The table is made when it is first asked: endpoints may change many times before.
type hashed struct {
	table   func() table
	members []member
	weights []float64 // normalised
	factor  float64   // hash_balance_factor / 100; 0: off
}

func newHashed(usable []member, lb *config.LB, build func([]keyed, *config.LB) table) *hashed {
	weights := allWeights(usable)
	normalise(weights)
	return &hashed{
		members: usable, weights: weights, factor: float64(lb.BalanceFactor) / percent,
		table: sync.OnceValue(func() table { return build(keys(usable, weights, lb.HashHostname), lb) }),
	}
}

func normalise(weights []float64) {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	for i := range weights {
		weights[i] /= sum
	}
}

// keyed is a host with the text that is hashed for it and its share of all weights.
type keyed struct {
	host   *Host
	key    string
	weight float64
}

// keys are Envoy's, so that both agree where a hash belongs: metadata envoy.lb hash_key, else the host name if the
// configuration says so, else the address.
func keys(members []member, weights []float64, byName bool) []keyed {
	all := make([]keyed, len(members))
	for i := range members {
		h := members[i].host
		e := h.Endpoint()
		key, _ := e.Metadata[metadataLB]["hash_key"].(string)
		if key == "" && byName {
			key = e.Hostname
		}
		if key == "" {
			key = h.String()
		}
		all[i] = keyed{h, key, weights[i]}
	}
	return all
}

func (h *hashed) pick(d draw) *Host {
	host := h.table().find(d.hash, d.attempt)
	if h.factor == 0 || !h.full(host) {
		return host
	}
	return h.notFull(d, host)
}

// full reports whether host has its share of all requests under way, times the factor.
func (h *hashed) full(host *Host) bool {
	total, weight := int64(1), 0.0
	for i := range h.members {
		total += h.members[i].host.Active.Load()
		if h.members[i].host == host {
			weight = h.weights[i]
		}
	}
	slots := float64(total) * weight * h.factor
	return float64(host.Active.Load()) >= max(slots, 1)
}

// notFull goes through the hosts in an order that the hash decides, the same for each request with it: from a start, by
// steps coprime to their number.
func (h *hashed) notFull(d draw, host *Host) *Host {
	n := uint64(len(h.members))
	at, step := mix(d.hash)%n, mix(d.hash^1)%n|1
	for gcdInt(step, n) != 1 {
		step += 2
	}
	for range h.members {
		if other := h.members[at].host; !h.full(other) {
			return other
		}
		at = (at + step) % n
	}
	return host
}

func gcdInt(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
