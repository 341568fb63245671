package config

import (
	"net/netip"
	"time"
)

// Chain is a filter chain: which connections it takes, and what is done with them. Exactly one of TCP and HTTP is set.
type Chain struct {
	Name             string
	Match            ChainMatch
	TLS              *ServerTLS    // nil: plaintext
	HandshakeTimeout time.Duration // transport_socket_connect_timeout; 0: 15s
	Filters          []NetworkFilter
	TCP              *TCPProxy
	HTTP             *HTTPManager
}

// SourceType says where a chain's clients are.
type SourceType uint8

// The source types of FilterChainMatch.
const (
	AnySource SourceType = iota
	SameIPOrLoopback
	ExternalSource
)

// ChainMatch is envoy.config.listener.v3.FilterChainMatch; an empty field matches everything. How the fields rank is
// package listener's business.
type ChainMatch struct {
	DestinationPort      uint16 // 0: any
	Destinations         []netip.Prefix
	ServerNames          []string // lower case, `*.` only in front
	TransportProtocol    string   // "", "tls", "raw_buffer"
	ApplicationProtocols []string
	DirectSources        []netip.Prefix
	SourceType           SourceType
	Sources              []netip.Prefix
	SourcePorts          []uint16
}

// NetworkFilter is a network filter before the terminal one. Config is one of *RBAC, *TCPMetadataExchange, *IstioStats,
// *LocalRateLimit, *ConnectionLimit, *ExtAuthz.
type NetworkFilter struct {
	Name   string
	Config any
}

// TCPProxy forwards a connection as bytes.
type TCPProxy struct {
	StatPrefix         string
	Clusters           []WeightedCluster // one, or several with weights
	TotalWeight        uint32
	HashSourceIP       bool          // hash_policy source_ip: chooses among hosts, not among Clusters
	IdleTimeout        time.Duration // 0: none
	MaxDuration        time.Duration // max_downstream_connection_duration; 0: none
	MaxConnectAttempts uint32        // 0: 1
	AccessLogs         []*AccessLog
	LogOnConnect       bool
	Tunneling          *Tunneling // nil: bytes go to the host bare
}

// Tunneling is TcpProxy.tunneling_config: the cluster's hosts are HTTP proxies that are asked for a tunnel.
type Tunneling struct {
	Host    *Format   // where to: authority of the request, host:port
	Post    bool      // POST instead of CONNECT: bytes are the bodies
	Path    string    // of POST
	Headers HeaderOps // of the request
}

// TCPMetadataExchange is Istio's peer metadata exchange over ALPN.
type TCPMetadataExchange struct {
	Protocol string // ALPN under which peers exchange: istio-peer-exchange
}

// ConnectionLimit is envoy.filters.network.connection_limit.
type ConnectionLimit struct {
	StatPrefix string
	Max        uint64
	Delay      time.Duration
}
