package xds

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) routes(raw []byte) *config.RouteTable {
	var m routev3.RouteConfiguration
	if !d.parse(raw, &m) {
		return nil
	}
	return d.table(&m)
}

// table decodes a table that came by RDS or stands in a manager.
func (d *decoder) table(m *routev3.RouteConfiguration) *config.RouteTable {
	out := &config.RouteTable{
		Name:             m.GetName(),
		RequestHeaders:   d.headerOps("request_headers", m.GetRequestHeadersToAdd(), m.GetRequestHeadersToRemove()),
		ResponseHeaders:  d.headerOps("response_headers", m.GetResponseHeadersToAdd(), m.GetResponseHeadersToRemove()),
		InternalHeaders:  d.lowered(m.GetInternalOnlyHeaders()),
		MostSpecificWins: m.GetMostSpecificHeaderMutationsWins(), IgnorePort: m.GetIgnorePortInHostMatching(),
		Overrides: d.overrides(m.GetTypedPerFilterConfig()),
		Mirrors:   d.mirrors(m.GetRequestMirrorPolicies()),
	}
	limit := int(number(m.GetMaxDirectResponseBodySizeBytes(), defaultDirectBody))
	d.virtualHosts(m.GetVirtualHosts(), limit, out)
	d.tableRefused(m)
	return out
}

func (d *decoder) tableRefused(m *routev3.RouteConfiguration) {
	if m.GetVhds() != nil {
		d.failIn("vhds", "not supported")
	}
	if m.GetVhostHeader() != "" {
		d.failIn("vhost_header", "not supported")
	}
	for i, p := range m.GetClusterSpecifierPlugins() {
		if !p.GetIsOptional() {
			d.step(segment{"cluster_specifier_plugins", i, p.GetExtension().GetName()}, func() { d.fail("not supported") })
		}
	}
	d.noSpecifiers(len(m.GetRouteSpecifiers()))
	d.noEffect(m.GetIgnorePathParametersInPathMatching(), "ignore_path_parameters_in_path_matching")
}

// noSpecifiers refuses extensions that could send a request elsewhere.
func (d *decoder) noSpecifiers(n int) {
	if n > 0 {
		d.failIn("route_specifiers", "not supported")
	}
}

func (d *decoder) route(r *routev3.Route, limit int) *config.Route {
	out := &config.Route{
		Name:            d.intern(r.GetName()),
		RequestHeaders:  d.headerOps("request_headers", r.GetRequestHeadersToAdd(), r.GetRequestHeadersToRemove()),
		ResponseHeaders: d.headerOps("response_headers", r.GetResponseHeadersToAdd(), r.GetResponseHeadersToRemove()),
		Overrides:       d.overrides(r.GetTypedPerFilterConfig()),
		Operation:       d.intern(r.GetDecorator().GetOperation()), Propagate: truth(r.GetDecorator().GetPropagate(), true),
		ConfigPath:  d.intern(text(r.GetMetadata().GetFilterMetadata()["istio"], "config")),
		StatPrefix:  d.intern(r.GetStatPrefix()),
		BufferLimit: number(r.GetPerRequestBufferLimitBytes(), 0),
		Metadata:    d.routeMetadata(r.GetMetadata()),
	}
	if n := r.GetRequestBodyBufferLimit(); n != nil {
		out.BufferLimit = uint32(min(n.Value, 1<<32-1))
	}
	d.in("match", func() { out.Match = d.routeMatch(r.GetMatch()) })
	d.action(r, limit, out)
	d.noSpecifiers(len(r.GetRouteSpecifiers()))
	d.in("tracing", func() { out.Tracing = d.routeTracing(r.GetTracing()) })
	return out
}

// routeMetadata keeps metadata that something may ask for. Where an Istio route came from is kept as a text alone,
// because its map would cost more than all else of the route.
func (d *decoder) routeMetadata(m *corev3.Metadata) map[string]map[string]any {
	out := plainMaps(m)
	if istio := out["istio"]; len(istio) == 1 && istio["config"] != nil {
		if delete(out, "istio"); len(out) == 0 {
			return nil
		}
	}
	return out
}

func (d *decoder) routeMatch(m *routev3.RouteMatch) config.RouteMatch {
	out := config.RouteMatch{
		IgnoreCase: !truth(m.GetCaseSensitive(), true),
		Fraction:   d.fraction("runtime_fraction", m.GetRuntimeFraction()),
		Headers:    d.headerMatches("headers", m.GetHeaders()), Query: d.queryMatches(m.GetQueryParameters()),
		GRPC: m.GetGrpc() != nil, Metadata: d.metadataMatches("dynamic_metadata", m.GetDynamicMetadata()),
	}
	if t := m.GetTlsContext(); t != nil {
		out.TLS = &config.TLSMatch{Presented: truthPointer(t.Presented), Validated: truthPointer(t.Validated)}
	}
	if len(m.GetCookies()) > 0 {
		d.failIn("cookies", "not supported")
	}
	if len(m.GetFilterState()) > 0 {
		d.failIn("filter_state", "not supported")
	}
	d.pathMatch(m, &out)
	return out
}

func (d *decoder) pathMatch(m *routev3.RouteMatch, out *config.RouteMatch) {
	switch s := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		out.Kind, out.Path = config.PathPrefix, s.Prefix
	case *routev3.RouteMatch_Path:
		out.Kind, out.Path = config.PathExact, s.Path
	case *routev3.RouteMatch_PathSeparatedPrefix:
		out.Kind, out.Path = config.PathSeparatedPrefix, s.PathSeparatedPrefix
		if !strings.HasPrefix(out.Path, "/") || strings.HasSuffix(out.Path, "/") || strings.ContainsAny(out.Path, "?#") {
			d.failIn("path_separated_prefix", "%q must begin with a slash and not end in one", excerpt(out.Path))
		}
	case *routev3.RouteMatch_SafeRegex:
		out.Kind, out.Regex = config.PathRegex, d.matcherRegex("safe_regex", s.SafeRegex)
	case *routev3.RouteMatch_ConnectMatcher_:
		out.Kind = config.PathConnect
	case *routev3.RouteMatch_PathMatchPolicy:
		out.Kind = config.PathTemplate
		d.step(segment{"path_match_policy", -1, s.PathMatchPolicy.GetName()}, func() {
			out.Regex = d.template(d.open(s.PathMatchPolicy.GetTypedConfig()))
		})
	default:
		d.fail("no path to match")
	}
	if out.Path = d.intern(out.Path); out.IgnoreCase {
		out.Path = d.intern(strings.ToLower(out.Path))
	}
}
