package xds

import (
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Envoy's defaults, but for the time a request's head may take: Envoy has none, and slow heads are an attack.
const (
	defaultStreamIdle   = 5 * time.Minute
	defaultRequestHead  = time.Minute
	defaultDrainTimeout = 5 * time.Second
	defaultDelayedClose = time.Second
	defaultHeadKiB      = 60
	maxHeadKiB          = 8192
	defaultMaxHeaders   = 100
	defaultServerName   = "envoy"
	caseWordsType       = "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
	uuidRequestIDType   = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
)

func (d *decoder) httpManager(t typed) *config.HTTPManager {
	var m hcmv3.HttpConnectionManager
	if !d.into(t, &m) {
		return nil
	}
	out := &config.HTTPManager{
		StatPrefix: d.intern(m.StatPrefix), ServerName: d.intern(m.ServerName), Via: d.intern(m.Via),
		Internal:         d.prefixes("internal_address_config.cidr_ranges", m.InternalAddressConfig.GetCidrRanges()),
		UseRemoteAddress: truth(m.UseRemoteAddress, false), TrustedHops: m.XffNumTrustedHops, SkipXFFAppend: m.SkipXffAppend,
		AppendForwardedPort: m.AppendXForwardedPort,
		GenerateRequestID:   truth(m.GenerateRequestId, true), PreserveRequestID: m.PreserveExternalRequestId,
		ReturnRequestID: m.AlwaysSetRequestIdInResponse, Proxy100Continue: m.Proxy_100Continue,
		NormalizePath: truth(m.NormalizePath, false), MergeSlashes: m.MergeSlashes,
		StripAnyPort: m.GetStripAnyHostPort(), StripMatchingPort: m.StripMatchingHostPort, StripTrailingDot: m.StripTrailingHostDot,
	}
	if out.ServerName == "" {
		out.ServerName = defaultServerName
	}
	d.managerTimes(&m, out)
	d.managerEnums(&m, out)
	d.commonOptions(m.CommonHttpProtocolOptions, out)
	d.http1Options(m.HttpProtocolOptions, out)
	d.in("http2_protocol_options", func() { out.HTTP2 = d.http2Options(m.Http2ProtocolOptions) })
	d.routeSpecifier(&m, out)
	d.httpFilters(m.HttpFilters, out)
	d.upgrades(m.UpgradeConfigs, out)
	out.AccessLogs = d.accessLogs("access_log", m.AccessLog)
	d.localReplies(m.LocalReplyConfig, out)
	d.in("tracing", func() { out.Tracing = d.tracing(m.Tracing) })
	d.clientCertDetails(m.SetCurrentClientCertDetails, out)
	d.managerExtensions(&m)
	d.managerNoEffect(&m)
	return out
}

func (d *decoder) managerTimes(m *hcmv3.HttpConnectionManager, out *config.HTTPManager) {
	out.IdleTimeout = defaultIdleTimeout
	out.StreamIdleTimeout = d.duration("stream_idle_timeout", m.StreamIdleTimeout, defaultStreamIdle)
	out.RequestTimeout = d.duration("request_timeout", m.RequestTimeout, 0)
	out.RequestHeadersTimeout = d.duration("request_headers_timeout", m.RequestHeadersTimeout, defaultRequestHead)
	out.DrainTimeout = d.duration("drain_timeout", m.DrainTimeout, defaultDrainTimeout)
	out.DelayedCloseTimeout = d.duration("delayed_close_timeout", m.DelayedCloseTimeout, defaultDelayedClose)
	kib := number(m.MaxRequestHeadersKb, defaultHeadKiB)
	if kib == 0 || kib > maxHeadKiB {
		d.failIn("max_request_headers_kb", "%d is not between 1 and %d", kib, maxHeadKiB)
	}
	out.MaxHeadBytes = kib << 10
	out.MaxHeaders = defaultMaxHeaders
}

func (d *decoder) managerEnums(m *hcmv3.HttpConnectionManager, out *config.HTTPManager) {
	out.Codec = choose(d, "codec_type", int32(m.CodecType), []config.Codec{config.CodecAuto, config.CodecHTTP1, config.CodecHTTP2})
	out.ClientCert = choose(d, "forward_client_cert_details", int32(m.ForwardClientCertDetails), []config.ClientCertMode{
		config.XFCCSanitize, config.XFCCForwardOnly, config.XFCCAppendForward, config.XFCCSanitizeSet, config.XFCCAlwaysForwardOnly,
	})
	out.ServerHeader = choose(d, "server_header_transformation", int32(m.ServerHeaderTransformation), []config.ServerHeader{
		config.ServerOverwrite, config.ServerAppendIfAbsent, config.ServerPassThrough,
	})
	out.EscapedSlashes = choose(d, "path_with_escaped_slashes_action", int32(m.PathWithEscapedSlashesAction), []config.EscapedSlashes{
		config.EscapedSlashesKeep, config.EscapedSlashesKeep, config.EscapedSlashesReject, config.EscapedSlashesRedirect, config.EscapedSlashesForward,
	})
}

// choose translates an enum's number by its place in values.
func choose[T any](d *decoder, field string, number int32, values []T) (out T) {
	if number < 0 || int(number) >= len(values) {
		d.failIn(field, "value %d is not supported", number)
		return out
	}
	return values[number]
}

func (d *decoder) commonOptions(o *corev3.HttpProtocolOptions, out *config.HTTPManager) {
	d.in("common_http_protocol_options", func() {
		out.IdleTimeout = d.duration("idle_timeout", o.GetIdleTimeout(), defaultIdleTimeout)
		out.MaxConnectionDuration = d.duration("max_connection_duration", o.GetMaxConnectionDuration(), 0)
		out.MaxStreamDuration = d.duration("max_stream_duration", o.GetMaxStreamDuration(), 0)
		out.MaxRequests = number(o.GetMaxRequestsPerConnection(), 0)
		if o.GetMaxHeadersCount() != nil {
			out.MaxHeaders = o.MaxHeadersCount.Value
		}
		out.Underscores = choose(d, "headers_with_underscores_action", int32(o.GetHeadersWithUnderscoresAction()), []config.Underscores{
			config.UnderscoresAllow, config.UnderscoresReject, config.UnderscoresDrop,
		})
	})
}

func (d *decoder) http1Options(o *corev3.Http1ProtocolOptions, out *config.HTTPManager) {
	d.in("http_protocol_options", func() {
		out.AllowAbsoluteURL = truth(o.GetAllowAbsoluteUrl(), true)
		out.AcceptHTTP10 = o.GetAcceptHttp_10()
		out.DefaultHostHTTP10 = d.intern(o.GetDefaultHostForHttp_10())
		out.PreserveCase = d.preserveCase(o)
		if o.GetAllowChunkedLength() {
			d.failIn("allow_chunked_length", "not supported: such requests are refused")
		}
	})
}

// preserveCase reads header_key_format. Names are sent in lower case otherwise; proper case is not known.
func (d *decoder) preserveCase(o *corev3.Http1ProtocolOptions) bool {
	switch f := o.GetHeaderKeyFormat().GetHeaderFormat().(type) {
	case *corev3.Http1ProtocolOptions_HeaderKeyFormat_StatefulFormatter:
		if d.open(f.StatefulFormatter.GetTypedConfig()).message == caseWordsType {
			return true
		}
		d.failIn("header_key_format.stateful_formatter", "not supported")
	case *corev3.Http1ProtocolOptions_HeaderKeyFormat_ProperCaseWords_:
		d.note(Degraded, "header_key_format.proper_case_words")
	}
	return false
}

func (d *decoder) http2Options(o *corev3.Http2ProtocolOptions) config.HTTP2Options {
	k := o.GetConnectionKeepalive()
	return config.HTTP2Options{
		MaxStreams: number(o.GetMaxConcurrentStreams(), 0), HeaderTable: number(o.GetHpackTableSize(), 0),
		StreamWindow:      d.window("initial_stream_window_size", number(o.GetInitialStreamWindowSize(), 0)),
		ConnectionWindow:  d.window("initial_connection_window_size", number(o.GetInitialConnectionWindowSize(), 0)),
		AllowConnect:      o.GetAllowConnect(),
		KeepAliveInterval: d.duration("connection_keepalive.interval", k.GetInterval(), 0),
		KeepAliveTimeout:  d.duration("connection_keepalive.timeout", k.GetTimeout(), 0),
	}
}

// window checks a flow control window: 64 KiB to 2 GiB, as RFC 9113 and Envoy bound it.
func (d *decoder) window(field string, n uint32) uint32 {
	if n != 0 && (n < 65535 || n > 1<<31-1) {
		d.failIn(field, "%d is not between 65535 and 2147483647", n)
	}
	return n
}

func (d *decoder) routeSpecifier(m *hcmv3.HttpConnectionManager, out *config.HTTPManager) {
	switch s := m.RouteSpecifier.(type) {
	case *hcmv3.HttpConnectionManager_Rds:
		d.in("rds", func() { d.rds(s.Rds, out) })
	case *hcmv3.HttpConnectionManager_RouteConfig:
		d.in("route_config", func() { out.Routes = config.NewCell(d.table(s.RouteConfig)) })
	case *hcmv3.HttpConnectionManager_ScopedRoutes:
		d.failIn("scoped_routes", "not supported")
	default:
		d.fail("neither rds nor route_config")
	}
}

func (d *decoder) rds(r *hcmv3.Rds, out *config.HTTPManager) {
	if out.RouteName = d.intern(r.GetRouteConfigName()); out.RouteName == "" {
		d.failIn("route_config_name", "empty")
		return
	}
	var source ConfigSource
	d.in("config_source", func() { source = d.configSource(r.GetConfigSource()) })
	d.need("routes", &d.needs.Routes, out.RouteName, source)
	out.Routes = d.cells.Routes(out.RouteName)
}

func (d *decoder) upgrades(list []*hcmv3.HttpConnectionManager_UpgradeConfig, out *config.HTTPManager) {
	for i, u := range list {
		d.at("upgrade_configs", i, func() {
			if len(u.GetFilters()) > 0 {
				d.failIn("filters", "not supported")
			}
			d.addUpgrade(&out.Upgrades, u.GetUpgradeType(), truth(u.GetEnabled(), true))
		})
	}
}

func (d *decoder) addUpgrade(to *map[string]bool, name string, enabled bool) {
	lower := d.intern(strings.ToLower(name))
	if _, there := (*to)[lower]; there || lower == "" {
		d.failIn("upgrade_type", "%q is empty or there twice", excerpt(name))
	}
	if *to == nil {
		*to = map[string]bool{}
	}
	(*to)[lower] = enabled
}

func (d *decoder) localReplies(c *hcmv3.LocalReplyConfig, out *config.HTTPManager) {
	if c == nil {
		return
	}
	d.in("local_reply_config", func() {
		out.LocalReplies = &config.LocalReplies{}
		for i, m := range c.Mappers {
			d.at("mappers", i, func() {
				out.LocalReplies.Mappers = append(out.LocalReplies.Mappers, d.replyMapper(m))
			})
		}
		d.in("body_format", func() { out.LocalReplies.Body = d.formatString(c.BodyFormat) })
	})
}

func (d *decoder) replyMapper(m *hcmv3.ResponseMapper) (out config.LocalReplyMapper) {
	d.in("filter", func() { out.Filter = d.logFilter(m.GetFilter()) })
	if s := m.GetStatusCode(); s != nil {
		if out.Status = s.Value; s.Value < 200 || s.Value > 599 {
			d.failIn("status_code", "%d is not between 200 and 599", s.Value)
		}
	}
	if m.GetBody() != nil {
		d.in("body", func() {
			body := string(d.source(m.GetBody()))
			out.Body = &body
		})
	}
	d.in("body_format_override", func() { out.Format = d.formatString(m.GetBodyFormatOverride()) })
	out.Headers.Add = d.headerAdds("headers_to_add", m.GetHeadersToAdd())
	return out
}

func (d *decoder) clientCertDetails(c *hcmv3.HttpConnectionManager_SetCurrentClientCertDetails, out *config.HTTPManager) {
	out.ClientCertDetails = config.ClientCertDetails{
		Subject: truth(c.GetSubject(), false), Cert: c.GetCert(), Chain: c.GetChain(), DNS: c.GetDns(), URI: c.GetUri(),
	}
}

// managerExtensions refuses extensions that decide who a client is or what a request says.
func (d *decoder) managerExtensions(m *hcmv3.HttpConnectionManager) {
	for i, e := range m.OriginalIpDetectionExtensions {
		d.step(segment{"original_ip_detection_extensions", i, e.GetName()}, func() { d.fail("not built yet") })
	}
	for i, e := range m.EarlyHeaderMutationExtensions {
		d.step(segment{"early_header_mutation_extensions", i, e.GetName()}, func() { d.fail("not supported") })
	}
	if m.ForwardClientCertMatcher != nil {
		d.failIn("forward_client_cert_matcher", "not supported")
	}
	if e := m.GetRequestIdExtension().GetTypedConfig(); e != nil && d.open(e).message != uuidRequestIDType {
		d.note(Degraded, "request_id_extension")
	}
}

func (d *decoder) managerNoEffect(m *hcmv3.HttpConnectionManager) {
	d.noEffect(truth(m.AddUserAgent, false), "add_user_agent")
	d.noEffect(m.PathNormalizationOptions != nil, "path_normalization_options")
	d.noEffect(m.ProxyStatusConfig != nil, "proxy_status_config")
	d.noEffect(m.TypedHeaderValidationConfig != nil, "typed_header_validation_config")
	d.noEffect(m.SchemeHeaderTransformation != nil, "scheme_header_transformation")
	d.noEffect(m.AccessLogFlushInterval != nil || m.GetAccessLogOptions().GetAccessLogFlushInterval() != nil, "access_log_flush_interval")
	d.noEffect(m.ForwardProtoConfig != nil, "forward_proto_config")
	d.noEffect(m.GetInternalAddressConfig().GetUnixSockets(), "internal_address_config.unix_sockets")
	d.noEffect(m.Http3ProtocolOptions != nil, "http3_protocol_options")
}
