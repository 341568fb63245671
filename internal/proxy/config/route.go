package config

import (
	"net/netip"
	"time"
)

// RouteTable is a RouteConfiguration. Package http makes an index over it when it is first used.
type RouteTable struct {
	Name             string
	Version          string
	VirtualHosts     []*VirtualHost
	RequestHeaders   HeaderOps
	ResponseHeaders  HeaderOps
	InternalHeaders  []string // internal_only_headers: removed from requests from outside
	MostSpecificWins bool     // most_specific_header_mutations_wins
	IgnorePort       bool     // ignore_port_in_host_matching
	Overrides        Overrides
	Mirrors          []*Mirror
}

// VirtualHost are the routes for some domains.
type VirtualHost struct {
	Name            string
	Domains         []string // lower case: exact, *.suffix, prefix.*, *
	Routes          []*Route
	RequireTLS      RequireTLS
	RequestHeaders  HeaderOps
	ResponseHeaders HeaderOps
	CORS            *CORS
	Retry           *RetryPolicy
	Overrides       Overrides
	Mirrors         []*Mirror
	AttemptCount    bool   // include_request_attempt_count
	AttemptCountOut bool   // include_attempt_count_in_response
	BufferLimit     uint32 // per_request_buffer_limit_bytes; 0: 64 KiB
	RateLimits      []RateLimitActions
}

// RequireTLS is VirtualHost.require_tls.
type RequireTLS uint8

// Who is sent to https.
const (
	TLSNotRequired RequireTLS = iota
	TLSExternalOnly
	TLSAll
)

// Route is one match and what is done with what it takes. Exactly one of Forward, Redirect and Direct is set.
type Route struct {
	Name            string
	Match           RouteMatch
	Forward         *Forward
	Redirect        *Redirect
	Direct          *DirectResponse
	RequestHeaders  HeaderOps
	ResponseHeaders HeaderOps
	Overrides       Overrides
	Operation       string // decorator.operation
	Propagate       bool   // decorator.propagate
	// ConfigPath is metadata istio.config: the VirtualService this came from.
	ConfigPath  string
	StatPrefix  string
	BufferLimit uint32 // 0: the virtual host's
	Metadata    map[string]map[string]any
	Tracing     *RouteTracing // nil: the manager's
}

// PathKind is how a route matches paths.
type PathKind uint8

// The path specifiers.
const (
	PathPrefix PathKind = iota
	PathExact
	PathSeparatedPrefix
	PathRegex
	PathConnect // connect_matcher: CONNECT alone, not the upgrades that HTTP/2 asks for with it
	PathTemplate
)

// RouteMatch is a RouteMatch. All of it must hold.
type RouteMatch struct {
	Kind       PathKind
	Path       string
	Regex      *Regex // of PathRegex; full match, without the query
	IgnoreCase bool
	Fraction   *Fraction // runtime_fraction; nil: all
	Headers    []HeaderMatch
	Query      []QueryMatch
	GRPC       bool
	TLS        *TLSMatch
	Metadata   []MetadataMatch
}

// TLSMatch is TlsContextMatchOptions; nil fields match all.
type TLSMatch struct{ Presented, Validated *bool }

// Fraction is a RuntimeFractionalPercent.
type Fraction struct {
	Key        string // of the runtime; empty: none
	PerMillion uint32
}

// Forward sends requests to a cluster.
type Forward struct {
	Cluster       string // exactly one of Cluster, ClusterHeader and Weighted is set
	ClusterHeader string
	Weighted      []WeightedCluster
	TotalWeight   uint32
	WeightHeader  string         // header_name: chooses among Weighted instead of chance
	NotFoundCode  uint32         // cluster_not_found_response_code; 0: 503
	SubsetMatch   map[string]any // metadata_match envoy.lb

	PrefixRewrite  string
	RegexRewrite   *RegexRewrite
	PathTemplate   string
	HostRewrite    string
	HostFromHeader string
	HostFromPath   *RegexRewrite
	AutoHost       bool // auto_host_rewrite
	ForwardedHost  bool // append_x_forwarded_host

	Timeout        time.Duration  // 0: none; decoders fill in 15s
	IdleTimeout    *time.Duration // nil: the manager's stream_idle_timeout
	MaxDuration    *time.Duration // max_stream_duration; nil: the manager's
	GRPCTimeoutMax *time.Duration // grpc_timeout_header_max, or max_grpc_timeout
	GRPCTimeoutOff time.Duration  // grpc_timeout_header_offset
	Retry          *RetryPolicy
	HighPriority   bool
	Hash           []HashPolicy
	CORS           *CORS
	Mirrors        []*Mirror
	Upgrades       map[string]bool // over the manager's
	Connect        *Connect        // connect_config; nil: CONNECT is passed on
	RateLimits     []RateLimitActions
	HostRateLimits bool // include_vh_rate_limits: besides its own
}

// WeightedCluster is a cluster with a share of requests or connections.
type WeightedCluster struct {
	Name            string
	Weight          uint32
	ClusterHeader   string
	SubsetMatch     map[string]any
	RequestHeaders  HeaderOps
	ResponseHeaders HeaderOps
	HostRewrite     string
	Overrides       Overrides
}

// RegexRewrite replaces what matches. Substitution uses \1 as RE2 does.
type RegexRewrite struct {
	Pattern      *Regex
	Substitution string
}

// Redirect answers with a Location.
type Redirect struct {
	Code          uint32
	Scheme        string // scheme_redirect or https_redirect
	Host          string
	Port          uint32
	Path          string
	PrefixRewrite string
	RegexRewrite  *RegexRewrite
	StripQuery    bool
	// Prefix and PathReplace tell which of the three path fields was set; an empty prefix_rewrite is meant.
	HasPrefix bool
}

// DirectResponse answers without an upstream.
type DirectResponse struct {
	Status uint32
	Body   string
}

// RetryPolicy is a RetryPolicy.
type RetryPolicy struct {
	On             RetryOn
	Retries        uint32
	PerTryTimeout  time.Duration // 0: the route's
	PerTryIdle     time.Duration
	StatusCodes    []uint32
	Headers        []HeaderMatch // retriable_headers
	RequestHeaders []HeaderMatch // retriable_request_headers
	BaseInterval   time.Duration // 0: 25ms
	MaxInterval    time.Duration // 0: ten times the base
	PreviousHosts  bool          // retry_host_predicate previous_hosts
	OmitCanary     bool
	// PreviousPriorities is update_frequency of retry_priority previous_priorities: after so many attempts retries leave
	// the priorities they have been to; 0: they don't.
	PreviousPriorities uint32
	HostAttempts       uint32 // host_selection_retry_max_attempts
	RateLimitedHeader  string
}

// RetryOn are the conditions of retry_on, as bits.
type RetryOn uint32

// The conditions; package http/retry.go says what each means.
const (
	Retry5xx RetryOn = 1 << iota
	RetryGatewayError
	RetryReset
	RetryResetBeforeRequest
	RetryConnectFailure
	RetryEnvoyRateLimited
	Retry4xx
	RetryRefusedStream
	RetryStatusCodes
	RetryHeaders
	RetryGRPCCancelled
	RetryGRPCDeadlineExceeded
	RetryGRPCInternal
	RetryGRPCResourceExhausted
	RetryGRPCUnavailable
)

// HashKind is what a HashPolicy hashes.
type HashKind uint8

// The kinds of hash policies.
const (
	HashHeader HashKind = iota
	HashCookie
	HashSourceIP
	HashQuery
)

// HashPolicy is RouteAction.hash_policy.
type HashPolicy struct {
	Kind       HashKind
	Name       string // of the header, cookie or parameter
	Rewrite    *RegexRewrite
	CookieTTL  *time.Duration // set: a missing cookie is made
	CookiePath string
	Attributes [][2]string
	Terminal   bool
}

// Connect has CONNECT end here: its bytes go to the cluster bare.
type Connect struct {
	Post   bool         // so do the bodies of POST
	Header *ProxyHeader // before the bytes; nil: none
}

// Mirror is a RequestMirrorPolicy.
type Mirror struct {
	Cluster       string
	ClusterHeader string
	Fraction      *Fraction
	KeepHost      bool // disable_shadow_host_suffix_append
}

// Overrides are typed_per_filter_config by filter name.
type Overrides map[string]Override

// Override changes one filter for a route, virtual host, weighted cluster or table.
type Override struct {
	Disabled bool
	Config   any // as HTTPFilter.Config; nil: unchanged
}

// VirtualClusterName is what requests without a virtual cluster are counted under.
const VirtualClusterName = "other"

// CIDRs is a list of address ranges.
type CIDRs []netip.Prefix

// Contains reports whether one of the ranges holds a.
func (c CIDRs) Contains(a netip.Addr) bool {
	for _, p := range c {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
