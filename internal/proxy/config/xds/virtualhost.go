package xds

import (
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

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
