package config

import "time"

// LocalRateLimit is the local rate limit, of HTTP or of connections.
type LocalRateLimit struct {
	StatPrefix      string
	Bucket          TokenBucket
	Enabled         *Fraction // filter_enabled; nil: none
	Enforced        *Fraction // filter_enforced; nil: none
	Status          uint32    // 0: 429
	ResponseHeaders []HeaderAdd
	RequestHeaders  []HeaderAdd
	Descriptors     []RateDescriptor
	Stage           uint32
	PerConnection   bool
	RateHeaders     bool // enable_x_ratelimit_headers
	RateLimits      []RateLimitActions
	AsResource      bool // rate_limited_as_resource_exhausted
	VirtualHost     VirtualHostLimits
	OnlyDescriptors bool // always_consume_default_token_bucket: false
}

// VirtualHostLimits is vh_rate_limits: what becomes of the virtual host's rate_limits beside the route's.
type VirtualHostLimits uint8

// The options. HostLimitsAlone take them for routes without their own.
const (
	HostLimitsAlone VirtualHostLimits = iota
	HostLimitsToo
	HostLimitsNever
)

// TokenBucket is a TokenBucket; PerFill 0 means 1.
type TokenBucket struct {
	Max, PerFill uint32
	Interval     time.Duration
}

// RateDescriptor has a bucket of its own.
type RateDescriptor struct {
	Entries [][2]string
	Bucket  TokenBucket
}

// RateLimitActions make a descriptor out of a request.
type RateLimitActions struct {
	Stage   uint32
	Disable string
	Actions []RateLimitAction
	Limit   *MetadataKey // limit.dynamic_metadata: a limit for this request that the service is to use; nil: none
	Hits    *uint64      // hits_addend: how many hits the request is; nil: one
	Refund  bool         // hits_addend.is_negative_hits: Hits are given back
	// Unbuilt says that some of its actions aren't known here: which limit they ask for can't be told.
	Unbuilt bool
}

// RateLimitAction makes one entry of a descriptor.
type RateLimitAction struct {
	Kind       RateLimitKind
	Key        string
	Value      string // of metadata: where there is none
	Header     string // lower case; of RateQueryParameter its name
	SkipAbsent bool
	Headers    []HeaderMatch
	Query      []QueryMatch
	Expect     bool
	Metadata   MetadataKey
	Source     RateMetadataSource
	Bits4      uint8 // of RateMaskedAddress: how much of an IPv4 address counts, and of an IPv6 address
	Bits6      uint8
}

// RateLimitKind is a kind of rate limit action.
type RateLimitKind uint8

// The kinds of actions.
const (
	RateSourceCluster RateLimitKind = iota
	RateDestinationCluster
	RateRequestHeader
	RateRemoteAddress
	RateGenericKey
	RateHeaderValueMatch
	RateQueryParameter
	RateQueryValueMatch
	RateMaskedAddress
	RateMetadata
)

// RateMetadataSource is whose metadata a RateMetadata action looks at.
type RateMetadataSource uint8

// The sources of metadata.
const (
	RateDynamicMetadata RateMetadataSource = iota
	RateRouteMetadata
	RateClusterMetadata
)

// RateLimit is envoy.filters.http.ratelimit: a service is asked.
type RateLimit struct {
	Domain          string
	StatPrefix      string
	Stage           uint32
	Requests        RateLimitRequests
	GRPCCluster     string
	Authority       string
	AddHeaders      [][2]string   // initial_metadata
	Timeout         time.Duration // 0: none
	DenyOnFailure   bool
	DenyFraction    *Fraction // failure_mode_deny_percent; nil: DenyOnFailure says
	Enabled         *Fraction // nil: the runtime's ratelimit.http_filter_enabled, else all
	Enforced        *Fraction // nil: the runtime's ratelimit.http_filter_enforcing, else all
	Status          uint32    // 0: 429
	StatusOnError   uint32    // 0: 500
	AsResource      bool      // rate_limited_as_resource_exhausted
	RateHeaders     bool      // enable_x_ratelimit_headers
	RetryAfter      bool      // enable_retry_after_header
	NoLimitedHeader bool      // disable_x_envoy_ratelimited_header
	ResponseHeaders []HeaderAdd
	RateLimits      []RateLimitActions // instead of the route's
	Namespace       string             // of dynamic metadata that the service gives
	VirtualHost     VirtualHostLimits  // an override's
}

// RateLimitRequests is request_type.
type RateLimitRequests uint8

// The requests a RateLimit is for. Internal ones say so with x-envoy-internal.
const (
	RateLimitBoth RateLimitRequests = iota
	RateLimitInternal
	RateLimitExternal
)

// RateLimitRoute is what an override for RateLimit has.
type RateLimitRoute struct {
	VirtualHost VirtualHostLimits
	RateLimits  []RateLimitActions // instead of all others
	Domain      string             // empty: the filter's
}
