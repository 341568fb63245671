package config

import (
	"net/netip"
	"time"
)

// HTTPFilter is an HTTP filter before the router. Config is one of *RBAC, *Fault, *CORS, *LocalRateLimit, *ALPN,
// *PeerMetadata, *IstioStats, *JWT, *ExtAuthz, *HealthCheckFilter.
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

// Format is a text with %…% operators, compiled by package telemetry. Literal is set if it has none.
type Format struct {
	Source  string
	Literal bool
	JSON    []FormatField // json_format: sorted by key
	// OmitEmpty leaves out what has no value instead of writing `-`.
	OmitEmpty bool
}

// FormatField is one field of a JSON log line. Nested objects have Fields.
type FormatField struct {
	Key    string
	Source string
	Fields []FormatField
}

// AccessLog is one access log.
type AccessLog struct {
	Name   string
	Path   string // /dev/stdout, /dev/stderr or a file
	Format *Format
	Filter *LogFilter // nil: every request
}

// LogFilterKind is a kind of access log filter.
type LogFilterKind uint8

// The kinds of access log filters.
const (
	LogStatus LogFilterKind = iota
	LogDuration
	LogNotHealthCheck
	LogTraceable
	LogRuntime
	LogAnd
	LogOr
	LogHeader
	LogFlags
	LogGRPC
	LogNone // an unknown filter that was optional: takes nothing
)

// LogFilter is an AccessLogFilter.
type LogFilter struct {
	Kind     LogFilterKind
	Op       CompareOp
	Value    uint32
	Fraction *Fraction
	Filters  []*LogFilter
	Header   *HeaderMatch
	Flags    []string // short forms; empty: any flag
	Statuses []uint32 // gRPC
	Exclude  bool
}

// CompareOp is ComparisonFilter.op.
type CompareOp uint8

// The comparisons.
const (
	Equal CompareOp = iota
	GreaterOrEqual
	LessOrEqual
	NotEqual
)

// RBACAction is RBAC.action.
type RBACAction uint8

// The actions.
const (
	RBACAllow RBACAction = iota
	RBACDeny
	RBACLog
)

// RBAC is the role-based access control filter, network or HTTP.
type RBAC struct {
	Rules        *RBACRules // nil: everything passes
	Shadow       *RBACRules
	StatPrefix   string
	ShadowPrefix string
}

// RBACRules are policies in the order of their names.
type RBACRules struct {
	Action   RBACAction
	Policies []RBACPolicy
}

// RBACPolicy takes what one of its permissions and one of its principals take.
type RBACPolicy struct {
	Name        string
	Permissions []*Rule
	Principals  []*Rule
}

// RuleKind is a kind of RBAC rule.
type RuleKind uint8

// The kinds of permissions and principals.
const (
	RuleAny RuleKind = iota
	RuleAnd
	RuleOr
	RuleNot
	RuleHeader
	RulePath
	RuleTemplate
	RuleDestinationIP
	RuleDestinationPort
	RuleDestinationPortRange
	RuleServerName
	RuleMetadata
	RuleAuthenticated
	RuleDirectRemoteIP
	RuleRemoteIP
	RuleSourceIP
	RuleFilterState
)

// Rule is a Permission or a Principal.
type Rule struct {
	Kind     RuleKind
	Rules    []*Rule
	Header   *HeaderMatch
	String   *StringMatch // path, server name, principal (nil: any authenticated), filter state
	Prefix   netip.Prefix
	Ports    PortRange
	Metadata *MetadataMatch
	Key      string // of filter state
	Regex    *Regex // of a template
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
	RateKBps        uint64 // response_rate_limit; 0: none
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

// ALPN is istio.alpn: upstream ALPN by downstream protocol.
type ALPN struct{ HTTP10, HTTP11, HTTP2 []string }

// PeerMetadata is istio's peer metadata over headers: which ways it is discovered and propagated.
type PeerMetadata struct {
	DownstreamDiscovery, UpstreamDiscovery     PeerDiscovery
	DownstreamPropagation, UpstreamPropagation bool
	SkipExternalClusters                       bool
}

// PeerDiscovery are the ways peer metadata is found, as bits.
type PeerDiscovery uint8

// The ways.
const (
	PeerHeaders PeerDiscovery = 1 << iota
	PeerWorkload
)

// IstioStats is istio.stats' PluginConfig.
type IstioStats struct {
	DisableHostFallback bool
	ReportDuration      time.Duration // tcp_reporting_duration; 0: 5s
	Metrics             []MetricOverride
	Reporter            uint8 // 0: by direction, 1: server gateway
}

// MetricOverride changes the labels of one metric, or of all if Name is empty.
type MetricOverride struct {
	Name   string
	Labels map[string]*Format // added or replaced
	Remove []string
	Drop   bool
}

// JWT is envoy.filters.http.jwt_authn.
type JWT struct {
	Providers    map[string]*JWTProvider
	Rules        []JWTRule
	Requirements map[string]*JWTRequirement
	BypassCORS   bool
}

// JWTProvider is one issuer.
type JWTProvider struct {
	Name            string
	Issuer          string
	Audiences       []string
	Inline          string // a JWKS
	RemoteURI       string
	RemoteCluster   string
	RemoteTimeout   time.Duration
	CacheTime       time.Duration
	FromHeaders     [][2]string // name, value prefix
	FromParams      []string
	FromCookies     []string
	Forward         bool
	ForwardHeader   string
	PadForward      bool
	PayloadMetadata string
	HeaderMetadata  string
	ClaimHeaders    [][2]string // header, claim
	Skew            time.Duration
	NormalizeSpaces bool
	ClearRouteCache bool
	RequireExpiry   bool
	MaxLifetime     time.Duration
}

// JWTRule asks for a requirement on some routes.
type JWTRule struct {
	Match       RouteMatch
	Requirement *JWTRequirement // nil: none
}

// JWTRequirement is a tree; exactly one field is set, or Provider with Audiences.
type JWTRequirement struct {
	Provider             string
	Audiences            []string
	Any, All             []*JWTRequirement
	AllowMissing         bool
	AllowMissingOrFailed bool
}

// JWTRoute is what an Override for JWT has: the name of one of its Requirements.
type JWTRoute struct{ Requirement string }

// ExtAuthz is envoy.filters.http.ext_authz.
type ExtAuthz struct {
	StatPrefix      string
	GRPCCluster     string // exactly one of GRPCCluster and HTTPCluster is set
	Authority       string
	HTTPCluster     string
	HTTPURI         string
	PathPrefix      string
	Timeout         time.Duration
	FailureAllow    bool
	FailureHeader   bool
	StatusOnError   uint32
	MaxRequestBytes uint32
	AllowPartial    bool
	PackAsBytes     bool
	RequestHeaders  []StringMatch // allowed to the service
	AddHeaders      [][2]string
	UpstreamHeaders []StringMatch // of the answer, to the upstream
	AppendUpstream  []StringMatch
	ClientHeaders   []StringMatch // of a denial, to the client
	SuccessHeaders  []StringMatch
	ContextExtras   map[string]string
	ClearRouteCache bool
	Enabled         *Fraction
	EnabledMetadata *MetadataMatch
	DenyDisabled    bool
	IncludePeer     bool
	TLSSession      bool
	DisableBody     bool // of an override
}
