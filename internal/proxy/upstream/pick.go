package upstream

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Choice is what a host is chosen by. The zero value leaves everything to chance.
type Choice struct {
	Hash   uint64 // of the route's hash policies, if Hashed
	Hashed bool
	// OriginalDst is where the connection was going, or what the header of an ORIGINAL_DST cluster says. Client is the
	// downstream's address.
	OriginalDst, Client netip.AddrPort
	Subset              map[string]any // metadata_match of the route
	Name                string         // the request's host, for DynamicForward clusters
	// Tried are hosts not to be chosen again, if another one is found within Attempts (0: 1) more picks.
	Tried        []*Host
	Attempts     uint32
	OmitCanary   bool // hosts whose metadata envoy.lb says canary aren't chosen either, within Attempts
	HighPriority bool
	// Previous is what earlier attempts have left; nil: nothing.
	Previous *Previous
	// Override is the host the request is bound to. It is nobody's word but the client's.
	Override Override
}

// draw is all a balancer goes by: chance, or a hash.
type draw struct {
	random  uint64
	hash    uint64 // random, if the request has none
	attempt uint32
}

// again is the draw of another attempt: other dice, the same hash.
func (d draw) again() draw {
	return draw{random: mix(d.random + 1), hash: d.hash, attempt: d.attempt + 1}
}

// mix spreads the bits of x: a step of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below maps the upper half of random to 0 … n-1.
func below(random uint64, n int) int { return int((random >> 32) * uint64(n) >> 32) }

// ErrDropped is what Pick answers for the part of all requests that the control plane wants to be dropped: 503 DO.
var ErrDropped = errors.New("the request is one of those to be dropped")

// Pick chooses a host. It takes no lock and allocates nothing, unless endpoints have just changed or the cluster's hosts
// are original destinations. The error is ErrNoHost, which it counts, ErrNotBound or ErrDropped.
func (c *Cluster) Pick(choice *Choice, trace *stream.Trace) (*Host, error) {
	set := c.hosts()
	if set.original {
		return c.pickOriginal(choice, trace)
	}
	if set.named {
		return c.pickNamed(choice, trace)
	}
	d := draw{random: c.manager.opts.Random()}
	d.hash = d.random
	if choice.Hashed {
		d.hash = choice.Hash
	}
	if set.drops(d) {
		if trace.On() {
			trace.Note("host", "none: drop_overloads drops %d of a million requests", set.from.DropPerMillion)
		}
		return nil, ErrDropped
	}
	if trace.On() {
		set.explain(choice, trace)
	}
	if choice.Override.Host != "" {
		if host, err := set.override(choice, trace); host != nil || err != nil {
			return host, err
		}
	}
	b := set.balancer
	if set.subsets != nil {
		b = set.subsets.find(choice.Subset, trace)
	}
	if b != nil {
		if host := c.pickFrom(b, d, choice, trace); host != nil {
			return host, nil
		}
	}
	c.Stats.CxNoneHealthy.Add(1)
	return nil, ErrNoHost
}

// drops throws dice of its own.
func (s *hostSet) drops(d draw) bool {
	return s.from != nil && s.from.DropPerMillion > 0 && mix(d.random^dropDraw)%1e6 < uint64(s.from.DropPerMillion)
}

const dropDraw = 0x64726f70

// explained is how many hosts that can't be picked a trace lists.
const explained = 20

// explain notes the policy, and what is wrong with hosts.
func (s *hostSet) explain(choice *Choice, trace *stream.Trace) {
	by := "chance"
	if choice.Hashed {
		by = fmt.Sprintf("hash %d", choice.Hash)
	}
	trace.Note("policy", "%s over %d hosts, by %s", policyNames[s.config.LB.Policy], len(s.members), by)
	left := explained
	for i := range s.members {
		if m := &s.members[i]; m.available != healthy && left > 0 {
			trace.Note("host", "%s is not healthy: %s", m.host, m.host.Status().HealthFlags)
			left--
		}
	}
}

var policyNames = [...]string{"ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV", "CLUSTER_PROVIDED"}

// pickFrom picks again while the host is one to be avoided. The last attempt's host is taken whatever it is: a retry to
// the same host is better than none.
func (c *Cluster) pickFrom(b *balancer, d draw, choice *Choice, trace *stream.Trace) *Host {
	host := b.choose(d, choice, trace)
	if len(choice.Tried) == 0 && !choice.OmitCanary {
		return host
	}
	for range max(choice.Attempts, 1) {
		if host == nil || !choice.avoids(host) {
			return host
		}
		if trace.On() {
			trace.Note("host", "%s is passed over: tried before, or a canary", host)
		}
		d = d.again()
		host = b.choose(d, choice, trace)
	}
	return host
}

func (c *Choice) avoids(h *Host) bool {
	return slices.Contains(c.Tried, h) || c.OmitCanary && h.canary()
}

// canary reports whether metadata envoy.lb says so.
func (h *Host) canary() bool {
	is, _ := h.Endpoint().Metadata[metadataLB]["canary"].(bool)
	return is
}
