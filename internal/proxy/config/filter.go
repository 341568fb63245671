package config

import "time"

// HTTPFilter is an HTTP filter before the router. Config is one of *RBAC, *Fault, *CORS, *LocalRateLimit, *ALPN,
// *PeerMetadata, *IstioStats, *JWT, *ExtAuthz, *StatefulSession, *RateLimit, *HealthCheckFilter, *GRPCStats,
// *ForwardProxy.
type HTTPFilter struct {
	Name     string
	Config   any
	Disabled bool // unless an Override enables it
	// Late is set for a filter that comes by ECDS; Config is then nil.
	Late *Cell[HTTPFilter]
}

// HeaderOps are header mutations in the order they are made: removals first, as Envoy does.
type HeaderOps struct {
	Remove []string // lower case
	Add    []HeaderAdd
}

// Empty reports whether there is nothing to do.
func (o *HeaderOps) Empty() bool { return len(o.Remove) == 0 && len(o.Add) == 0 }

// AppendAction is HeaderValueOption.append_action.
type AppendAction uint8

// What happens if the header is there already, or isn't.
const (
	AppendOrAdd AppendAction = iota
	AddIfAbsent
	OverwriteOrAdd
	OverwriteIfPresent
)

// HeaderAdd adds one header.
type HeaderAdd struct {
	Name      string // lower case
	Value     *Format
	Action    AppendAction
	KeepEmpty bool
}

// Fault is envoy.filters.http.fault. Percentages are of a million.
type Fault struct {
	Delay           time.Duration
	DelayHeader     bool // header_delay
	DelayPerMillion uint32
	AbortHTTP       uint32 // 0: none
	AbortGRPC       *uint32
	AbortHeader     bool // header_abort
	AbortPerMillion uint32
	UpstreamCluster string
	Headers         []HeaderMatch
	DownstreamNodes []string
	MaxActive       *uint32
	RatePerMillion  uint32
	RateKBps        uint64 // response_rate_limit, in KiB a second; 0: none
	RateHeader      bool   // header_limit
}

// CORS is a CorsPolicy.
type CORS struct {
	Origins          []StringMatch
	Methods          string
	Headers          string
	Expose           string
	MaxAge           string
	Credentials      *bool
	PrivateNetwork   *bool
	Enabled          *Fraction // filter_enabled; nil: all
	Shadow           *Fraction
	ForwardUnmatched *bool // forward_not_matching_preflights; nil: true
}

// HealthCheckFilter is envoy.filters.http.health_check: it answers health checks, or caches the upstream's answers.
type HealthCheckFilter struct {
	PassThrough bool
	CacheTime   time.Duration // of answers that are passed through; 0: none is kept
	Clusters    []ClusterHealth
	Headers     []HeaderMatch // which requests are health checks
}

// ClusterHealth is how many percent of a cluster's hosts must be healthy.
type ClusterHealth struct {
	Name    string
	Percent uint32
}

// GRPCStats is envoy.filters.http.grpc_stats.
type GRPCStats struct {
	FilterState bool            // emit_filter_state
	All         bool            // stats_for_all_methods
	Methods     map[string]bool // individual_method_stats_allowlist, as paths
	Times       bool            // enable_upstream_stats
	ReplaceDots bool            // of service names, with All
}
