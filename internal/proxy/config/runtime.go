// Package config holds what the proxy is told to do, as immutable values: listeners with their filter chains, and
// clusters. What comes in today are a few settings (Static); what goes out is a *Runtime, which the rest of the proxy
// only reads. xDS resources will be decoded into the same types here, and nothing behind this package sees protobuf.
// Read this file first.
package config

import (
	"net/netip"
	"time"
)

// Direction says which side of the application a listener stands on.
type Direction uint8

// Outbound traffic comes from the application, Inbound traffic goes to it.
const (
	Outbound Direction = iota
	Inbound
)

// String is the direction as Envoy's stat prefixes spell it.
func (d Direction) String() string {
	if d == Inbound {
		return "inbound"
	}
	return "outbound"
}

// Reporter is the value of Istio's label `reporter`: who counted a connection.
func (d Direction) Reporter() string {
	if d == Inbound {
		return "destination"
	}
	return "source"
}

// Names of the listeners, chains and clusters that exist without any configuration, as Istio names them.
const (
	VirtualOutbound = "virtualOutbound"
	VirtualInbound  = "virtualInbound"

	ChainOutboundCatchAll  = "virtualOutbound-catchall-tcp"
	ChainOutboundBlackhole = "virtualOutbound-blackhole"
	ChainInboundCatchAll   = "virtualInbound-catchall-tcp"
	ChainInboundBlackhole  = "virtualInbound-blackhole"

	PassthroughCluster        = "PassthroughCluster"
	InboundPassthroughCluster = "InboundPassthroughCluster"
	BlackHoleCluster          = "BlackHoleCluster"
)

// Runtime is one whole configuration. It is never changed after it was made; a new one replaces it.
type Runtime struct {
	Listeners []Listener
	Clusters  map[string]*Cluster
}

// Listener returns the listener of that name, or nil.
func (r *Runtime) Listener(name string) *Listener {
	for i := range r.Listeners {
		if r.Listeners[i].Name == name {
			return &r.Listeners[i]
		}
	}
	return nil
}

// Listener decides what happens to the connections of one capture port.
type Listener struct {
	Name      string
	Port      uint16
	Direction Direction
	Chains    []Chain // matched before Default
	Default   *Chain  // nil: what no chain matches is closed
}

// Chain is a filter chain: which connections it takes, and what is done with them.
type Chain struct {
	Name            string
	DestinationPort uint16 // 0: any
	TCP             TCPProxy
}

// TCPProxy forwards a connection as bytes.
type TCPProxy struct {
	StatPrefix  string
	Cluster     string
	IdleTimeout time.Duration // 0: none
}

// ClusterKind says where a cluster's hosts come from.
type ClusterKind uint8

// OriginalDst dials where the connection was going; FixedHosts has a list, today always an empty one.
const (
	OriginalDst ClusterKind = iota
	FixedHosts
)

// Cluster is a group of upstream hosts and how to connect to them.
type Cluster struct {
	Name           string
	Kind           ClusterKind
	ConnectTimeout time.Duration
	// SourceV4 and SourceV6 are the local addresses to dial from; the zero Addr leaves the choice to the kernel.
	SourceV4, SourceV6 netip.Addr
	// KeepClient dials from the address of the connection's client instead.
	KeepClient bool
}

// Source returns the local address to dial to from, or the zero Addr.
func (c *Cluster) Source(to netip.Addr) netip.Addr {
	if to.Is4() {
		return c.SourceV4
	}
	return c.SourceV6
}
