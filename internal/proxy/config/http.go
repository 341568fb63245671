package config

import "time"

// Codec is HttpConnectionManager.codec_type.
type Codec uint8

// The codecs; CodecAuto asks ALPN, then looks for HTTP/2's preface.
const (
	CodecAuto Codec = iota
	CodecHTTP1
	CodecHTTP2
)

// HTTPManager is envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager. Durations of 0 mean
// off; decoders fill in Envoy's defaults.
type HTTPManager struct {
	StatPrefix string
	Codec      Codec
	RouteName  string            // of the RDS resource; empty: inline
	Routes     *Cell[RouteTable] // nil value: not there yet, 404 NR
	Filters    []HTTPFilter      // in order, without the router
	Router     Router
	AccessLogs []*AccessLog
	Upgrades   map[string]bool // upgrade_configs in lower case: websocket, connect; false: listed but disabled

	IdleTimeout           time.Duration // of a connection without streams
	StreamIdleTimeout     time.Duration
	RequestTimeout        time.Duration
	RequestHeadersTimeout time.Duration
	MaxConnectionDuration time.Duration
	MaxStreamDuration     time.Duration
	DrainTimeout          time.Duration // between the two GOAWAYs
	MaxRequests           uint32        // per connection; 0: no limit
	MaxHeadBytes          uint32        // max_request_headers_kb × 1024
	MaxHeaders            uint32

	UseRemoteAddress     bool
	Internal             CIDRs  // internal_address_config: whose requests are internal; none if empty
	TrustedHops          uint32 // xff_num_trusted_hops
	SkipXFFAppend        bool
	OriginalIP           []OriginalIP // instead of x-forwarded-for as UseRemoteAddress and TrustedHops have it
	AppendForwardedPort  bool         // x-forwarded-port
	ClientCert           ClientCertMode
	ClientCertDetails    ClientCertDetails
	ServerName           string
	ServerHeader         ServerHeader
	Via                  string
	GenerateRequestID    bool
	PreserveRequestID    bool // preserve_external_request_id
	ReturnRequestID      bool // always_set_request_id_in_response
	Proxy100Continue     bool
	NormalizePath        bool
	MergeSlashes         bool
	EscapedSlashes       EscapedSlashes
	Underscores          Underscores
	StripAnyPort         bool // strip_any_host_port
	StripMatchingPort    bool // strip_matching_host_port: only the listener's
	StripTrailingDot     bool // strip_trailing_host_dot
	AcceptHTTP10         bool
	DefaultHostHTTP10    string
	PreserveCase         bool // header_key_format preserve_case_words
	HTTP2                HTTP2Options
	LocalReplies         *LocalReplies // nil: Envoy's answers as they are
	Tracing              *Tracing      // nil: trace headers pass untouched
	IgnoreInvalidHeaders bool          // stream_error_on_invalid_http_message is the opposite
}

// ClientCertMode is forward_client_cert_details.
type ClientCertMode uint8

// The five modes of x-forwarded-client-cert.
const (
	XFCCSanitize ClientCertMode = iota
	XFCCForwardOnly
	XFCCAppendForward
	XFCCSanitizeSet
	XFCCAlwaysForwardOnly
)

// ClientCertDetails is set_current_client_cert_details: what x-forwarded-client-cert says besides By and Hash.
type ClientCertDetails struct{ Subject, Cert, Chain, DNS, URI bool }

// ServerHeader is server_header_transformation.
type ServerHeader uint8

// What becomes of a response's `server` header.
const (
	ServerOverwrite ServerHeader = iota
	ServerAppendIfAbsent
	ServerPassThrough
)

// EscapedSlashes is path_with_escaped_slashes_action.
type EscapedSlashes uint8

// What is done to a path with %2F or %5C in it.
const (
	EscapedSlashesKeep EscapedSlashes = iota
	EscapedSlashesReject
	EscapedSlashesRedirect
	EscapedSlashesForward
)

// Underscores is headers_with_underscores_action.
type Underscores uint8

// What is done about header names with underscores.
const (
	UnderscoresAllow Underscores = iota
	UnderscoresReject
	UnderscoresDrop
)

// HTTP2Options are Http2ProtocolOptions; 0 means this proxy's default.
type HTTP2Options struct {
	MaxStreams        uint32
	StreamWindow      uint32
	ConnectionWindow  uint32
	HeaderTable       uint32
	AllowConnect      bool
	KeepAliveInterval time.Duration
	KeepAliveTimeout  time.Duration
}

// LocalReplies is local_reply_config.
type LocalReplies struct {
	Mappers []LocalReplyMapper
	Body    *Format // nil: the body as it is
}

// LocalReplyMapper changes local answers that its filter takes.
type LocalReplyMapper struct {
	Filter  *LogFilter
	Status  uint32  // 0: unchanged
	Body    *string // nil: unchanged
	Format  *Format
	Headers HeaderOps
}

// Router is envoy.extensions.filters.http.router.v3.Router.
type Router struct {
	SuppressHeaders bool // suppress_envoy_headers
	StartChildSpan  bool
	UpstreamLogs    []*AccessLog
}
