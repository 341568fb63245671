package config

import "time"

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
	HiddenHeaders   []StringMatch // disallowed, though they may be allowed too
	Metadata        []string      // metadata_context_namespaces: of the request, else of its connection
	RouteMetadata   []string      // route_metadata_context_namespaces
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
