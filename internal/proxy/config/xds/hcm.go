package xds

import (
	"strings"
	"time"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Envoy's defaults, but for the time a request's head may take: Envoy has none, and slow heads are an attack.
const (
	defaultStreamIdle   = 5 * time.Minute
	defaultRequestHead  = time.Minute
	defaultDrainTimeout = 5 * time.Second
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
	d.originalIP(&m, out)
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

func (d *decoder) clientCertDetails(c *hcmv3.HttpConnectionManager_SetCurrentClientCertDetails, out *config.HTTPManager) {
	out.ClientCertDetails = config.ClientCertDetails{
		Subject: truth(c.GetSubject(), false), Cert: c.GetCert(), Chain: c.GetChain(), DNS: c.GetDns(), URI: c.GetUri(),
	}
}
