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

func (d *decoder) virtualHosts(list []*routev3.VirtualHost, limit int, out *config.RouteTable) {
	names, domains := map[string]bool{}, map[string]string{}
	out.VirtualHosts = make([]*config.VirtualHost, 0, len(list))
	for i, v := range list {
		d.step(segment{"virtual_hosts", i, v.GetName()}, func() {
			if names[v.GetName()] || v.GetName() == "" {
				d.failIn("name", "%q is empty or there twice", excerpt(v.GetName()))
			}
			names[v.GetName()] = true
			host := d.virtualHost(v, limit)
			d.uniqueDomains(host, domains)
			out.VirtualHosts = append(out.VirtualHosts, host)
		})
	}
}

// uniqueDomains refuses a domain that another virtual host, or this one, has already.
func (d *decoder) uniqueDomains(v *config.VirtualHost, seen map[string]string) {
	for i, name := range v.Domains {
		if other, there := seen[name]; there {
			d.at("domains", i, func() { d.fail("%q is also a domain of %q", excerpt(name), excerpt(other)) })
		}
		seen[name] = v.Name
	}
}

func (d *decoder) virtualHost(v *routev3.VirtualHost, limit int) *config.VirtualHost {
	out := &config.VirtualHost{
		Name: v.GetName(), Domains: d.domainNames(v.GetDomains()),
		RequestHeaders:  d.headerOps("request_headers", v.GetRequestHeadersToAdd(), v.GetRequestHeadersToRemove()),
		ResponseHeaders: d.headerOps("response_headers", v.GetResponseHeadersToAdd(), v.GetResponseHeadersToRemove()),
		CORS:            d.routeCORS(v.GetCors()),
		Retry:           d.retry(v.GetRetryPolicy()),
		Overrides:       d.overrides(v.GetTypedPerFilterConfig()),
		Mirrors:         d.mirrors(v.GetRequestMirrorPolicies()),
		AttemptCount:    v.GetIncludeRequestAttemptCount(), AttemptCountOut: v.GetIncludeAttemptCountInResponse(),
		BufferLimit: number(v.GetPerRequestBufferLimitBytes(), 0), RateLimits: d.routeRateLimits(v.GetRateLimits()),
	}
	out.RequireTLS = choose(d, "require_tls", int32(v.GetRequireTls()), []config.RequireTLS{config.TLSNotRequired, config.TLSExternalOnly, config.TLSAll})
	if n := v.GetRequestBodyBufferLimit(); n != nil {
		out.BufferLimit = uint32(min(n.Value, 1<<32-1))
	}
	if v.GetMatcher() != nil {
		d.failIn("matcher", "not supported")
	}
	out.Routes = make([]*config.Route, 0, len(v.GetRoutes()))
	for i, r := range v.GetRoutes() {
		d.step(segment{"routes", i, r.GetName()}, func() { out.Routes = append(out.Routes, d.route(r, limit)) })
	}
	d.noSpecifiers(len(v.GetRouteSpecifiers()))
	d.noEffect(v.GetHedgePolicy() != nil, "hedge_policy")
	d.noEffect(len(v.GetVirtualClusters()) > 0, "virtual_clusters")
	d.noEffect(v.GetRetryPolicyTypedConfig() != nil, "retry_policy_typed_config")
	return out
}

// domainNames lower-cases and checks domains: one * as the first or the last character, or nothing else.
func (d *decoder) domainNames(list []string) []string {
	out := d.lowered(list)
	for i, name := range out {
		inner := strings.TrimPrefix(name, "*")
		if inner == name {
			inner = strings.TrimSuffix(name, "*")
		}
		if name == "" || strings.Contains(inner, "*") {
			d.at("domains", i, func() { d.fail("%q: only one wildcard is possible, in front or at the end", excerpt(name)) })
		}
	}
	if len(out) == 0 {
		d.failIn("domains", "none")
	}
	return out
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

func (d *decoder) action(r *routev3.Route, limit int, out *config.Route) {
	switch a := r.GetAction().(type) {
	case *routev3.Route_Route:
		d.in("route", func() { out.Forward = d.forward(a.Route) })
	case *routev3.Route_Redirect:
		d.in("redirect", func() { out.Redirect = d.redirect(a.Redirect) })
	case *routev3.Route_DirectResponse:
		d.in("direct_response", func() { out.Direct = d.directResponse(a.DirectResponse, limit) })
	case *routev3.Route_NonForwardingAction:
		d.failIn("non_forwarding_action", "not supported")
	case *routev3.Route_FilterAction:
		d.failIn("filter_action", "not supported")
	default:
		d.fail("no action")
	}
}

// defaultDirectBody is Envoy's bound of a direct response's body in bytes.
const defaultDirectBody = 4096

func (d *decoder) directResponse(a *routev3.DirectResponseAction, limit int) *config.DirectResponse {
	out := &config.DirectResponse{Status: a.GetStatus()}
	if out.Status < 200 || out.Status > 599 {
		d.failIn("status", "%d is not between 200 and 599", out.Status)
	}
	if a.GetBody() != nil {
		d.in("body", func() { out.Body = string(d.source(a.GetBody())) })
	}
	if len(out.Body) > limit {
		d.failIn("body", "%d bytes are more than %d", len(out.Body), limit)
	}
	if a.GetBodyFormat() != nil {
		d.failIn("body_format", "not supported")
	}
	return out
}

// redirectCodes are the codes by Envoy's number for them.
var redirectCodes = []uint32{301, 302, 303, 307, 308}

func (d *decoder) redirect(a *routev3.RedirectAction) *config.Redirect {
	out := &config.Redirect{
		Code: choose(d, "response_code", int32(a.GetResponseCode()), redirectCodes),
		Host: a.GetHostRedirect(), Port: uint32(d.port("port_redirect", a.GetPortRedirect())), StripQuery: a.GetStripQuery(),
		Scheme: a.GetSchemeRedirect(),
	}
	if a.GetHttpsRedirect() {
		out.Scheme = "https"
	}
	switch s := a.GetPathRewriteSpecifier().(type) {
	case *routev3.RedirectAction_PathRedirect:
		out.Path = s.PathRedirect
	case *routev3.RedirectAction_PrefixRewrite:
		out.PrefixRewrite, out.HasPrefix = s.PrefixRewrite, true
	case *routev3.RedirectAction_RegexRewrite:
		out.RegexRewrite = d.rewrite("regex_rewrite", s.RegexRewrite)
	case *routev3.RedirectAction_PathRewrite:
		d.failIn("path_rewrite", "not supported")
	}
	return out
}
