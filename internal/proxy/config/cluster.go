package config

import (
	"net/netip"
	"time"
)

// ClusterKind says where a cluster's hosts come from.
type ClusterKind uint8

// OriginalDst dials where the connection was going. Static hosts are in the cluster, EDS hosts come by their own
// resource, DNS hosts by looking their names up: all addresses (strict) or the first (logical).
const (
	OriginalDst ClusterKind = iota
	StaticHosts
	EDS
	StrictDNS
	LogicalDNS
	// DynamicForward has the hosts that requests name.
	DynamicForward
)

// Cluster is a group of upstream hosts and how to connect to them. Durations of 0 mean off unless said.
type Cluster struct {
	Name        string
	StatName    string // alt_stat_name; empty: Name
	Kind        ClusterKind
	ServiceName string           // of EDS; empty: Name
	Endpoints   *Cell[Endpoints] // nil value: not there yet; of DNS clusters their names, of OriginalDst unused

	ConnectTimeout time.Duration
	// SourceV4 and SourceV6 are the local addresses to dial from; the zero Addr leaves the choice to the kernel.
	SourceV4, SourceV6 netip.Addr
	// KeepClient dials from the address of the connection's client instead.
	KeepClient  bool
	KeepAlive   *TCPKeepAlive // nil: no probes
	BufferLimit uint32

	OriginalDst OriginalDstOptions
	DNS         DNSOptions
	Cache       *DNSCache // of DynamicForward
	LB          LB
	Breakers    [2]Breaker // by priority: default, high
	Outlier     *Outlier   // nil: no detection
	Checks      []HealthCheck
	HTTP        UpstreamHTTP
	TLS         *ClientTLS       // transport_socket; nil: plaintext
	Header      *ProxyHeader     // of connections that none of TLSMatches is for; nil: none
	Introduces  bool             // Header or that of one of TLSMatches is there
	TLSMatches  []TransportMatch // transport_socket_matches, first match wins
	Filters     []NetworkFilter  // upstream network filters: TCPMetadataExchange

	Metadata map[string]map[string]any // filter_metadata by name, without what is taken apart below

	// Of metadata istio.
	Service   ServiceLabels
	External  bool // istio.external: outside of the mesh
	ALPNAlone bool // istio.alpn_override is false: ALPN as configured
	// Of metadata pillion.dev: which host this is a cluster of, and its VIPs.
	Host string
	VIPs []netip.Addr

	ViaAPI bool // came by xDS, not in the bootstrap
}

// ServiceLabels are metadata istio.services: what destination_service… in metrics says.
type ServiceLabels struct{ Host, Name, Namespace string }

// Source returns the local address to dial to from, or the zero Addr.
func (c *Cluster) Source(to netip.Addr) netip.Addr {
	if to.Is4() {
		return c.SourceV4
	}
	return c.SourceV6
}

// OriginalDstOptions are of clusters whose hosts are original destinations.
type OriginalDstOptions struct {
	UseHeader       bool   // use_http_header
	Header          string // http_header_name; empty: x-envoy-original-dst-host
	PortOverride    uint16
	CleanupInterval time.Duration
}

// DNSOptions are of clusters whose hosts are names.
type DNSOptions struct {
	Refresh     time.Duration // 0: 5s
	FailureBase time.Duration
	FailureMax  time.Duration
	Jitter      time.Duration
	RespectTTL  bool
	V4, V6      bool // families asked for
	PreferV4    bool // one family only, IPv4 first (auto prefers IPv6)
	All         bool // both families' addresses are used
}

// Endpoints is a ClusterLoadAssignment.
type Endpoints struct {
	Version         string
	Localities      []Locality
	Overprovisioned uint32 // percent; 0: 140
	DropPerMillion  uint32
}

// Locality are hosts in one place with one priority.
type Locality struct {
	Region, Zone, SubZone string
	Priority              uint32
	Weight                uint32
	Hosts                 []*Endpoint
}

// Health is an endpoint's health_status.
type Health uint8

// Usable first; Degraded when no other is left; Unhealthy (and draining, timeout) never.
const (
	Healthy Health = iota
	Degraded
	Unhealthy
	Draining
)

// Endpoint is one host. What an update of endpoints looks at stands first: one cache line of each host.
type Endpoint struct {
	Address    netip.AddrPort // invalid: Name is to be looked up, or Pipe is set
	Weight     uint32         // 0: 1
	Health     Health
	Status     uint8             // health_status as it was told: a number of core.v3.HealthStatus
	Port       uint16            // of Name
	TLSMatch   map[string]string // metadata envoy.transport_socket_match
	Pipe       string            // path of a Unix socket
	Name       string            // of a DNS cluster's host
	Additional []netip.AddrPort
	Hostname   string                    // for auto_host_rewrite and health checks
	Metadata   map[string]map[string]any // filter_metadata by name
	Workload   string                    // metadata istio.workload: name;namespace;service;revision;cluster
	Header     *ProxyHeader              // what it adds to the cluster's, only Added counts; nil: nothing
}

// LBPolicy is how a host is chosen.
type LBPolicy uint8

// The policies; LBClusterProvided is OriginalDst's.
const (
	LBRoundRobin LBPolicy = iota
	LBLeastRequest
	LBRandom
	LBRingHash
	LBMaglev
	LBClusterProvided
)

// LB is load balancing of a cluster.
type LB struct {
	Policy           LBPolicy
	Choices          uint32  // of least request; 0: 2
	Bias             float64 // active_request_bias; decoders fill in 1
	RingMin, RingMax uint64
	TableSize        uint64  // of Maglev; 0: 65537
	HashHostname     bool    // use_hostname_for_hashing
	BalanceFactor    uint32  // hash_balance_factor in percent; 0: off
	PanicPercent     float64 // healthy_panic_threshold; decoders fill in 50
	LocalityWeighted bool
	Zones            ZoneAware
	CloseOnUnhealthy bool           // close_connections_on_host_health_failure
	Overridable      HealthStatuses // override_host_status; decoders fill in UNKNOWN, HEALTHY, DEGRADED
	SlowStart        time.Duration
	Aggression       float64
	Subsets          *Subsets
}

// ZoneAware is zone_aware_lb_config: whether requests stay in the proxy's own locality.
type ZoneAware struct {
	PerMillion  uint32 // routing_enabled; 0: never. Decoders fill in a million, as Envoy does
	MinHosts    uint64 // min_cluster_size; decoders fill in 6
	FailOnPanic bool   // fail_traffic_on_panic
	ForceLocal  uint32 // so many hosts in the own locality take all its requests; 0: only what their share can bear
	ByWeight    bool   // locality_basis HEALTHY_HOSTS_WEIGHT: shares are of weights, not of numbers
}

// Subsets is lb_subset_config.
type Subsets struct {
	Selectors [][]string
	Fallback  SubsetFallback
	Default   map[string]any
}

// SubsetFallback is what happens when no subset fits.
type SubsetFallback uint8

// The fallbacks.
const (
	SubsetNone SubsetFallback = iota
	SubsetAny
	SubsetDefault
)

// Breaker are a priority's thresholds; decoders fill in 1024, 1024, 1024, 3.
type Breaker struct {
	Connections, Pending, Requests, Retries uint32
	BudgetPercent                           float64 // retry_budget; 0: Retries counts
	BudgetMin                               uint32
	TrackRemaining                          bool
}

// Outlier is outlier_detection; decoders fill in Envoy's defaults. Enforcements are percentages.
type Outlier struct {
	Interval, BaseEjection, MaxEjection, Jitter   time.Duration
	MaxEjectedPercent                             uint32
	Consecutive5xx, ConsecutiveGateway            uint32
	ConsecutiveLocal                              uint32
	Enforce5xx, EnforceGateway, EnforceLocal      uint32
	SplitLocal                                    bool
	AlwaysEjectOne                                bool
	EnforceSuccessRate, EnforceFailure            uint32
	SuccessRateHosts, SuccessRateVolume           uint32
	SuccessRateFactor                             uint32
	FailureThreshold, FailureHosts, FailureVolume uint32
}

// CheckKind is a kind of active health check.
type CheckKind uint8

// The kinds of health checks.
const (
	CheckHTTP CheckKind = iota
	CheckTCP
	CheckGRPC
)

// HealthCheck is an active health check.
type HealthCheck struct {
	Kind                CheckKind
	Timeout, Interval   time.Duration
	Jitter              time.Duration
	Unhealthy, Healthy  uint32
	Host, Path, Service string
	Method              string
	Statuses            []PortRange // expected; empty: 200
	Send                []byte
	Receive             [][]byte
}

// UpstreamProtocol is what is spoken with a cluster's hosts.
type UpstreamProtocol uint8

// The choices of HttpProtocolOptions.
const (
	UpstreamHTTP1 UpstreamProtocol = iota
	UpstreamHTTP2
	UpstreamSame // use_downstream_protocol_config
	UpstreamAuto // auto_config: by ALPN
)

// UpstreamHTTP is HttpProtocolOptions and what else shapes a cluster's HTTP.
type UpstreamHTTP struct {
	Protocol     UpstreamProtocol
	IdleTimeout  time.Duration // decoders fill in 1h
	MaxRequests  uint32        // per connection; 0: no limit
	MaxDuration  time.Duration
	MaxHeaders   uint32
	MaxHeadBytes uint32
	HTTP2        HTTP2Options
	PreserveCase bool
	AutoSNI      bool
	AutoSAN      bool // auto_san_validation
}

// TCPKeepAlive are the kernel's probes; 0: its default.
type TCPKeepAlive struct {
	Probes         uint32
	Time, Interval time.Duration
}

// TransportMatch is one of transport_socket_matches.
type TransportMatch struct {
	Name   string
	Match  map[string]string // against Endpoint.TLSMatch; empty: all
	TLS    *ClientTLS        // nil: plaintext
	Header *ProxyHeader      // before all else; nil: none
}

// ProxyHeader is what a connection to a host begins with (envoy.transport_sockets.upstream_proxy_protocol): whom it is for,
// in the PROXY protocol.
type ProxyHeader struct {
	V2    bool
	Pass  *TLVPass   // of the downstream connection's TLVs; only in version 2
	Added []ProxyTLV // as Pass
}

// ProxyTLV is an extra of a header.
type ProxyTLV struct {
	Type  byte
	Value []byte
}
