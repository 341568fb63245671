package config

import (
	"math"
	"net/netip"
	"time"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// Defaults of Istio's mesh configuration and Envoy's TCP proxy.
const (
	defaultConnectTimeout = 10 * time.Second
	defaultIdleTimeout    = time.Hour
)

// Settings are what Static needs to know.
type Settings struct {
	OutboundPort, InboundPort uint16        // 0: Istio's
	ConnectTimeout            time.Duration // 0: 10s
	IdleTimeout               time.Duration // 0: 1h; below zero: none
	KeepClient                bool          // the application sees its client's address; wants TPROXY and NET_ADMIN
	AccessLogs                []*AccessLog  // of all connections
}

func (s Settings) withDefaults() Settings {
	if s.OutboundPort == 0 {
		s.OutboundPort = istio.PortOutbound
	}
	if s.InboundPort == 0 {
		s.InboundPort = istio.PortInbound
	}
	if s.ConnectTimeout == 0 {
		s.ConnectTimeout = defaultConnectTimeout
	}
	if s.IdleTimeout == 0 {
		s.IdleTimeout = defaultIdleTimeout
	}
	s.IdleTimeout = max(s.IdleTimeout, 0)
	return s
}

// Static returns the configuration that needs no control plane: every connection is carried to its original
// destination, and one that was made to the capture port itself is closed, because dialling it would loop.
func Static(s Settings) *Runtime {
	s = s.withDefaults()
	return NewRuntime([]*Listener{outboundListener(s), inboundListener(s)}, staticClusters(s))
}

func outboundListener(s Settings) *Listener {
	return &Listener{
		Name: VirtualOutbound, Addresses: wildcard(s.OutboundPort), Bind: true, HandOff: true, Direction: Outbound,
		Chains:  []*Chain{blackhole(ChainOutboundBlackhole, s.OutboundPort, s)},
		Default: passthrough(ChainOutboundCatchAll, PassthroughCluster, s),
	}
}

func inboundListener(s Settings) *Listener {
	return &Listener{
		Name: VirtualInbound, Addresses: wildcard(s.InboundPort), Bind: true, Direction: Inbound,
		Chains:  []*Chain{blackhole(ChainInboundBlackhole, s.InboundPort, s)},
		Default: passthrough(ChainInboundCatchAll, InboundPassthroughCluster, s),
	}
}

func wildcard(port uint16) []netip.AddrPort {
	return []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), port), netip.AddrPortFrom(netip.IPv6Unspecified(), port)}
}

func blackhole(name string, port uint16, s Settings) *Chain {
	return &Chain{Name: name, Match: ChainMatch{DestinationPort: port}, Filters: counted(), TCP: tcpTo(BlackHoleCluster, 0, s)}
}

func passthrough(name, cluster string, s Settings) *Chain {
	return &Chain{Name: name, Filters: counted(), TCP: tcpTo(cluster, s.IdleTimeout, s)}
}

// counted makes a chain's connections count in Istio's metrics.
func counted() []NetworkFilter {
	return []NetworkFilter{{Name: "istio.stats", Config: &IstioStats{}}}
}

func tcpTo(cluster string, idle time.Duration, s Settings) *TCPProxy {
	return &TCPProxy{StatPrefix: cluster, Clusters: []WeightedCluster{{Name: cluster, Weight: 1}}, TotalWeight: 1, IdleTimeout: idle, AccessLogs: s.AccessLogs}
}

// unbounded is no circuit breaker: pass-through doesn't say no, the limit of connections does.
var unbounded = [2]Breaker{
	{Connections: math.MaxUint32, Pending: math.MaxUint32, Requests: math.MaxUint32, Retries: math.MaxUint32},
	{Connections: math.MaxUint32, Pending: math.MaxUint32, Requests: math.MaxUint32, Retries: math.MaxUint32},
}

func staticClusters(s Settings) []*Cluster {
	return []*Cluster{
		{Name: PassthroughCluster, Kind: OriginalDst, ConnectTimeout: s.ConnectTimeout, Breakers: unbounded},
		{
			Name: InboundPassthroughCluster, Kind: OriginalDst, ConnectTimeout: s.ConnectTimeout, Breakers: unbounded,
			SourceV4: netip.MustParseAddr(istio.PassthroughV4), SourceV6: netip.MustParseAddr(istio.PassthroughV6),
			KeepClient: s.KeepClient,
		},
		{Name: BlackHoleCluster, Kind: StaticHosts, Endpoints: NewCell(&Endpoints{})},
	}
}
