package upstream

import (
	"math"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// leastWarmth is the share of its weight a host starts with.
const leastWarmth = 0.1

// weight is an endpoint's weight, less while the host is in slow start.
func (c *Cluster) weight(set *hostSet, host *Host, endpoint *config.Endpoint) float64 {
	weight := float64(max(endpoint.Weight, 1))
	lb := &set.config.LB
	if lb.SlowStart <= 0 || lb.Policy > config.LBLeastRequest {
		return weight
	}
	age := c.manager.opts.Now().Sub(host.since)
	if age >= lb.SlowStart {
		return weight
	}
	set.warming = true
	return weight * warmth(age, lb)
}

// warmth is max(10 %, age/window ^ 1/aggression).
func warmth(age time.Duration, lb *config.LB) float64 {
	aggression := lb.Aggression
	if aggression <= 0 {
		aggression = 1
	}
	part := max(float64(age), 1) / float64(lb.SlowStart)
	return max(leastWarmth, math.Pow(part, 1/aggression))
}

// tickSlowStart makes the set anew while weights change with time.
func (c *Cluster) tickSlowStart() {
	if c.set.Load().warming {
		c.changes.Add(1)
		c.current()
	}
}
