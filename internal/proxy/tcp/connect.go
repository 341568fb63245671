package tcp

import (
	"errors"
	"math/rand/v2"

	"github.com/cespare/xxhash/v2"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// choose returns one of the proxy's clusters, by weight.
func choose(c *config.TCPProxy, random func(n uint32) uint32) *config.WeightedCluster {
	if len(c.Clusters) == 1 || c.TotalWeight == 0 {
		return &c.Clusters[0]
	}
	drawn := random(c.TotalWeight)
	for i := range c.Clusters {
		if drawn < c.Clusters[i].Weight {
			return &c.Clusters[i]
		}
		drawn -= c.Clusters[i].Weight
	}
	return &c.Clusters[len(c.Clusters)-1]
}

// otherHostPicks is how often a host is picked anew that has refused the connection already; after each further refusal so
// much more often, for a hash leads to the same hosts in the same order.
const otherHostPicks = 8

// connect opens the upstream connection, on another host each time it fails, as often as configured. It is nil if there
// is none; then the session knows why.
func (s *session) connect() *link {
	weighted := choose(s.plan.tcp, rand.Uint32N)
	s.route(weighted.Name, s.proxy.Upstream.Cluster(weighted.Name))
	if s.cluster == nil {
		s.setEnd("", stream.NoClusterFound)
		return nil
	}
	choice := s.choice(weighted)
	for range max(s.plan.tcp.MaxConnectAttempts, 1) {
		host, err := s.cluster.Pick(choice, nil)
		if err != nil {
			s.noHost(err, len(choice.Tried) > 0)
			return nil
		}
		up, err := s.reach(host)
		if err == nil {
			return up
		}
		if s.failed(host, err); !again(err) {
			return nil
		}
		choice.Tried = append(choice.Tried, host)
		choice.Attempts += otherHostPicks
	}
	s.cluster.Stats.CxAttemptsExceeded.Add(1)
	return nil
}

func (s *session) choice(weighted *config.WeightedCluster) *upstream.Choice {
	c := &upstream.Choice{OriginalDst: s.conn.Local, Client: s.conn.Remote, Subset: weighted.SubsetMatch}
	if s.plan.tcp.HashSourceIP {
		c.Hash, c.Hashed = xxhash.Sum64String(s.conn.Remote.Addr().String()), true
	}
	return c
}

// noHost records that a cluster has no host for this connection, unless one was tried before.
func (s *session) noHost(err error, tried bool) {
	if !tried {
		s.setEnd("", dialFlags(err))
	}
}

// failed records why no connection to host came to be.
func (s *session) failed(host *upstream.Host, err error) {
	flags := dialFlags(err)
	if flags == stream.NoClusterFound {
		s.proxy.Store.Server.SelfDials.Add(1)
	}
	s.setEnd("", flags)
	s.mu.Lock()
	defer s.mu.Unlock()
	if flags != stream.UpstreamConnectionFailure {
		return
	}
	s.x.Upstream = stream.Upstream{Remote: host.Address, Host: host.Endpoint().Hostname, Endpoint: host.Endpoint()}
	var tls *upstream.TLSError
	if errors.As(err, &tls) {
		s.x.Upstream.TransportFailure = tls.Error()
	}
}

// again reports whether another host may do better.
func again(err error) bool {
	return dialFlags(err) == stream.UpstreamConnectionFailure
}

// dialFlags says in Envoy's terms why there is no connection.
func dialFlags(err error) stream.Flags {
	switch {
	case errors.Is(err, upstream.ErrNoHost):
		return stream.NoHealthyUpstream
	case errors.Is(err, upstream.ErrDropped):
		return stream.DropOverload
	case errors.Is(err, upstream.ErrSelfDial):
		return stream.NoClusterFound
	case errors.Is(err, upstream.ErrOverflow):
		return stream.UpstreamOverflow
	default:
		return stream.UpstreamConnectionFailure
	}
}
