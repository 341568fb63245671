package config

import "time"

// Tracing is HttpConnectionManager.tracing. Percentages are of a million.
type Tracing struct {
	Client, Random, Overall uint32
	Provider                *TraceProvider // nil: the bootstrap's; without one nothing is exported and trace headers pass untouched
	MaxPathTag              uint32         // bytes of a URL's path in a tag
	Spawn                   bool           // spawn_upstream_span: a span for each attempt, too
	Silent                  bool           // no_context_propagation: upstreams aren't told
	Operation               *Format        // of the span; nil: the direction and the host
	UpstreamOperation       *Format        // of the spans of attempts
	Tags                    []TraceTag
}

// RouteTracing is Route.tracing.
type RouteTracing struct {
	Client, Random, Overall uint32
	Operation               *Format // nil: the manager's
	UpstreamOperation       *Format
	Tags                    []TraceTag // over the manager's of the same name
}

// TraceTag is a custom tag. If Value gives nothing it is Missing; a tag with neither is left out.
type TraceTag struct {
	Name    string
	Value   Format
	Missing string
}

// TraceKind is how spans are sent.
type TraceKind uint8

// The providers there are.
const (
	OpenTelemetry TraceKind = iota
	Zipkin
)

// TraceProvider is where spans go.
type TraceProvider struct {
	Kind      TraceKind
	Service   string // OpenTelemetry's service_name; empty: unknown_service:envoy, for Zipkin the node's cluster
	Cluster   string
	GRPC      bool   // of OpenTelemetry; false: HTTP
	Authority string // empty: Cluster
	Path      string // of HTTP
	Timeout   time.Duration
	Headers   [][2]string // names in lower case
	MaxSpans  uint32      // that may wait; 0: this proxy's default

	NoService   bool // set_service_name_resource_attribute: false
	NoSDK       bool // set_telemetry_sdk_resource_attributes: false
	Environment bool // resource attributes of OTEL_RESOURCE_ATTRIBUTES

	LongIDs  bool // of Zipkin: trace ids of 128 bits
	Unshared bool // of Zipkin: a server's span isn't its client's
	W3C      bool // of Zipkin: W3C's headers, too
}
