package xds

import "github.com/pillion-mesh/pillion/internal/proxy/config"

// level is how far an extension is understood.
type level uint8

const (
	built    level = iota
	counts         // known and not built, only shapes or counts: no effect
	notBuilt       // planned, and able to deny, authenticate or rewrite: refused
	refused        // known, never to be built
)

// reason is what a refusal says.
func (l level) reason() string {
	if l == notBuilt {
		return "not built yet"
	}
	return "not supported"
}

const (
	httpFilterTypes     = "envoy.extensions.filters.http."
	networkFilterTypes  = "envoy.extensions.filters.network."
	listenerFilterTypes = "envoy.extensions.filters.listener."
	tlsTypes            = "envoy.extensions.transport_sockets."
)

// httpFilterType is an HTTP filter there is.
type httpFilterType struct {
	message  string // of its configuration
	override string // of its configuration for a route, a virtual host, …; empty: none
	level    level
	decode   func(*decoder, typed) any
	// decodeOverride returns the override; nil: the message is the filter's own.
	decodeOverride func(*decoder, typed) config.Override
	failOpen       func(*decoder, typed) bool // whether it may be skipped although it is refused
}

// httpFilters are the HTTP filters of the support table. An unknown one is refused, too.
var httpFilters = []httpFilterType{
	{message: httpFilterTypes + "rbac.v3.RBAC", override: httpFilterTypes + "rbac.v3.RBACPerRoute", decode: (*decoder).rbac, decodeOverride: (*decoder).rbacOverride},
	{message: httpFilterTypes + "fault.v3.HTTPFault", override: httpFilterTypes + "fault.v3.HTTPFault", decode: (*decoder).fault},
	{message: httpFilterTypes + "cors.v3.Cors", override: httpFilterTypes + "cors.v3.CorsPolicy", decode: (*decoder).cors, decodeOverride: (*decoder).corsOverride},
	{message: httpFilterTypes + "local_ratelimit.v3.LocalRateLimit", override: httpFilterTypes + "local_ratelimit.v3.LocalRateLimit", decode: (*decoder).localRateLimit},
	{message: "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", decode: (*decoder).alpn},
	{message: "io.istio.http.peer_metadata.Config", decode: (*decoder).peerMetadata},
	{message: "stats.PluginConfig", decode: (*decoder).istioStats},
	{message: httpFilterTypes + "jwt_authn.v3.JwtAuthentication", override: httpFilterTypes + "jwt_authn.v3.PerRouteConfig", decode: (*decoder).jwt, decodeOverride: (*decoder).jwtOverride},
	{message: httpFilterTypes + "ext_authz.v3.ExtAuthz", override: httpFilterTypes + "ext_authz.v3.ExtAuthzPerRoute", decode: (*decoder).extAuthz, decodeOverride: (*decoder).extAuthzOverride},
	{message: httpFilterTypes + "stateful_session.v3.StatefulSession", override: httpFilterTypes + "stateful_session.v3.StatefulSessionPerRoute", decode: (*decoder).statefulSession, decodeOverride: (*decoder).statefulSessionOverride},
	{message: httpFilterTypes + "ratelimit.v3.RateLimit", override: httpFilterTypes + "ratelimit.v3.RateLimitPerRoute", decode: (*decoder).rateLimitFilter, decodeOverride: (*decoder).rateLimitOverride},
	{message: httpFilterTypes + "health_check.v3.HealthCheck", decode: (*decoder).healthCheckFilter},
	{message: httpFilterTypes + "grpc_stats.v3.FilterConfig", decode: (*decoder).grpcStats},
	{message: httpFilterTypes + "dynamic_forward_proxy.v3.FilterConfig", override: httpFilterTypes + "dynamic_forward_proxy.v3.PerRouteConfig", decode: (*decoder).forwardProxy, decodeOverride: (*decoder).forwardProxyOverride},

	{message: httpFilterTypes + "grpc_web.v3.GrpcWeb", level: counts},
	{message: httpFilterTypes + "compressor.v3.Compressor", override: httpFilterTypes + "compressor.v3.CompressorPerRoute", level: counts},
	{message: httpFilterTypes + "decompressor.v3.Decompressor", level: counts},

	{message: httpFilterTypes + "wasm.v3.Wasm", level: refused, failOpen: (*decoder).wasmFailsOpen},
	{message: httpFilterTypes + "lua.v3.Lua", override: httpFilterTypes + "lua.v3.LuaPerRoute", level: refused},
	{message: httpFilterTypes + "ext_proc.v3.ExternalProcessor", override: httpFilterTypes + "ext_proc.v3.ExtProcPerRoute", level: refused},
	{message: httpFilterTypes + "oauth2.v3.OAuth2", level: refused},
	{message: httpFilterTypes + "buffer.v3.Buffer", override: httpFilterTypes + "buffer.v3.BufferPerRoute", level: refused},
}

const (
	routerType = httpFilterTypes + "router.v3.Router"
	hcmType    = networkFilterTypes + "http_connection_manager.v3.HttpConnectionManager"
	tcpType    = networkFilterTypes + "tcp_proxy.v3.TcpProxy"
)

// networkFilterType is a network filter before the terminal one.
type networkFilterType struct {
	message  string
	level    level
	decode   func(*decoder, typed) any
	failOpen func(*decoder, typed) bool
}

// networkFilters are the network filters of the support table, without the terminal ones.
var networkFilters = []networkFilterType{
	{message: networkFilterTypes + "rbac.v3.RBAC", decode: (*decoder).networkRBAC},
	{message: "stats.PluginConfig", decode: (*decoder).istioStats},
	{message: "envoy.tcp.metadataexchange.config.MetadataExchange", decode: (*decoder).metadataExchange},
	{message: networkFilterTypes + "local_ratelimit.v3.LocalRateLimit", decode: (*decoder).networkRateLimit},
	{message: networkFilterTypes + "connection_limit.v3.ConnectionLimit", decode: (*decoder).connectionLimit},
	{message: networkFilterTypes + "ext_authz.v3.ExtAuthz", decode: (*decoder).networkExtAuthz},

	{message: networkFilterTypes + "mongo_proxy.v3.MongoProxy", level: counts},
	{message: networkFilterTypes + "mysql_proxy.v3.MySQLProxy", level: counts},

	{message: networkFilterTypes + "wasm.v3.Wasm", level: refused, failOpen: (*decoder).wasmFailsOpen},
	{message: networkFilterTypes + "redis_proxy.v3.RedisProxy", level: refused},
	{message: networkFilterTypes + "sni_dynamic_forward_proxy.v3.FilterConfig", level: refused},
}

// listenerFilterType is a listener filter.
type listenerFilterType struct {
	message string
	level   level
	kind    config.InspectorKind
	decode  func(*decoder, typed, *config.Inspector) // nil: nothing in it has an effect
}

// listenerFilters are the listener filters of the support table.
var listenerFilters = []listenerFilterType{
	{message: listenerFilterTypes + "original_dst.v3.OriginalDst", kind: config.OriginalDestination},
	{message: listenerFilterTypes + "tls_inspector.v3.TlsInspector", kind: config.TLSInspector},
	{message: listenerFilterTypes + "http_inspector.v3.HttpInspector", kind: config.HTTPInspector},
	{message: listenerFilterTypes + "proxy_protocol.v3.ProxyProtocol", kind: config.ProxyProtocolFilter, decode: (*decoder).proxyProtocol},
	{message: listenerFilterTypes + "original_src.v3.OriginalSrc", kind: config.OriginalSourceFilter, decode: (*decoder).originalSource},
}

// The transport sockets there are.
const (
	rawSocketType = tlsTypes + "raw_buffer.v3.RawBuffer"
	serverTLSType = tlsTypes + "tls.v3.DownstreamTlsContext"
	clientTLSType = tlsTypes + "tls.v3.UpstreamTlsContext"
	proxySocket   = tlsTypes + "proxy_protocol.v3.ProxyProtocolUpstreamTransport"
)

// The access log sinks there are. Any other is not built, and only writes.
const (
	fileLogType   = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
	stdoutLogType = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
	stderrLogType = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog"
	httpLogType   = "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
	tcpLogType    = "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig"
	celFilterType = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
	otelLogType   = "envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig"
)

// builtinFormatters are the formatter extensions whose operators every format has.
var builtinFormatters = []string{
	"envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery",
	"envoy.extensions.formatter.metadata.v3.Metadata",
}

// lbPolicyTypes are the entries of load_balancing_policy that are understood.
const (
	lbRoundRobin   = "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin"
	lbLeastRequest = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"
	lbRandom       = "envoy.extensions.load_balancing_policies.random.v3.Random"
	lbRingHash     = "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash"
	lbMaglev       = "envoy.extensions.load_balancing_policies.maglev.v3.Maglev"
	lbProvided     = "envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided"
)

// The extensions of a cluster's typed_extension_protocol_options that are understood.
const (
	upstreamHTTPType = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	mxDiscoveryName  = "envoy.filters.network.metadata_exchange"
)

// The original_ip_detection_extensions that are understood.
const (
	xffDetectionType    = "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig"
	headerDetectionType = "envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig"
)

// dynamicClusterType is the cluster_type that is understood.
const dynamicClusterType = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"

// The session states of stateful_session that are understood.
const (
	cookieSessionType = "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState"
	headerSessionType = "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState"
)

// Extensions of routes.
const (
	previousHostsType      = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
	previousPrioritiesType = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
	omitCanaryType         = "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate"
	uriTemplateMatch       = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
	uriTemplateRewrite     = "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig"
)
