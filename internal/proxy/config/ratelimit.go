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
}

// RateLimitAction makes one entry of a descriptor.
type RateLimitAction struct {
	Kind       RateLimitKind
	Key        string
	Value      string
	Header     string
	SkipAbsent bool
	Headers    []HeaderMatch
	Expect     bool
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
)
