package xds

import (
	"net/http"
	"strings"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// defaultRouteTimeout is Envoy's.
const defaultRouteTimeout = 15 * time.Second

// notFoundCodes are the codes by Envoy's number for them.
var notFoundCodes = []uint32{503, 404, 500}

func (d *decoder) forward(a *routev3.RouteAction) *config.Forward {
	out := &config.Forward{
		NotFoundCode:  choose(d, "cluster_not_found_response_code", int32(a.GetClusterNotFoundResponseCode()), notFoundCodes),
		SubsetMatch:   subsetMatch(a.GetMetadataMatch()),
		PrefixRewrite: d.intern(a.GetPrefixRewrite()), RegexRewrite: d.rewrite("regex_rewrite", a.GetRegexRewrite()),
		ForwardedHost: a.GetAppendXForwardedHost(),
		Timeout:       d.duration("timeout", a.GetTimeout(), defaultRouteTimeout), IdleTimeout: d.durationPointer("idle_timeout", a.GetIdleTimeout()),
		Retry: d.retry(a.GetRetryPolicy()), Hash: d.hashPolicies(a.GetHashPolicy()), CORS: d.routeCORS(a.GetCors()),
		Mirrors: d.mirrors(a.GetRequestMirrorPolicies()), RateLimits: d.routeRateLimits(a.GetRateLimits()),
		HostRateLimits: truth(a.GetIncludeVhRateLimits(), false),
	}
	out.HighPriority = choose(d, "priority", int32(a.GetPriority()), []bool{false, true})
	if out.PrefixRewrite != "" && out.RegexRewrite != nil {
		d.fail("both prefix_rewrite and regex_rewrite")
	}
	d.clusterSpecifier(a, out)
	d.hostRewrite(a, out)
	d.pathRewrite(a, out)
	d.streamTimes(a, out)
	d.routeUpgrades(a.GetUpgradeConfigs(), out)
	d.noEffect(a.GetHedgePolicy() != nil, "hedge_policy")
	d.noEffect(a.GetInternalRedirectPolicy() != nil, "internal_redirect_policy")
	d.noEffect(a.GetEarlyDataPolicy() != nil, "early_data_policy")
	d.noEffect(a.GetFlushTimeout() != nil, "flush_timeout")
	return out
}

func (d *decoder) clusterSpecifier(a *routev3.RouteAction, out *config.Forward) {
	switch s := a.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster:
		if out.Cluster = d.intern(s.Cluster); s.Cluster == "" {
			d.failIn("cluster", "empty")
		}
	case *routev3.RouteAction_ClusterHeader:
		d.in("cluster_header", func() { out.ClusterHeader = d.anyHeaderName(s.ClusterHeader) })
	case *routev3.RouteAction_WeightedClusters:
		d.in("weighted_clusters", func() { d.weighted(s.WeightedClusters, out) })
	case *routev3.RouteAction_ClusterSpecifierPlugin:
		d.failIn("cluster_specifier_plugin", "not supported")
	case *routev3.RouteAction_InlineClusterSpecifierPlugin:
		d.failIn("inline_cluster_specifier_plugin", "not supported")
	default:
		d.fail("no cluster")
	}
}

// anyHeaderName lower-cases the name of a header that is only read.
func (d *decoder) anyHeaderName(name string) string {
	lower := d.lowered([]string{name})[0]
	if !isToken(lower) && lower != ":method" && lower != ":path" && lower != ":authority" && lower != ":scheme" {
		d.fail("%q is not a header name", excerpt(name))
	}
	return lower
}

func (d *decoder) weighted(w *routev3.WeightedCluster, out *config.Forward) {
	total := uint64(0)
	out.Weighted = make([]config.WeightedCluster, 0, len(w.GetClusters()))
	for i, c := range w.GetClusters() {
		d.step(segment{"clusters", i, c.GetName()}, func() { out.Weighted = append(out.Weighted, d.weightedCluster(c)) })
		total += uint64(c.GetWeight().GetValue())
	}
	out.TotalWeight = d.totalWeight("clusters", total)
	if h := w.GetHeaderName(); h != "" {
		d.in("header_name", func() { out.WeightHeader = d.anyHeaderName(h) })
	}
	d.noEffect(w.GetRuntimeKeyPrefix() != "", "runtime_key_prefix")
}

func (d *decoder) weightedCluster(c *routev3.WeightedCluster_ClusterWeight) config.WeightedCluster {
	out := config.WeightedCluster{
		Name: d.intern(c.GetName()), Weight: c.GetWeight().GetValue(), SubsetMatch: subsetMatch(c.GetMetadataMatch()),
		RequestHeaders:  d.headerOps("request_headers", c.GetRequestHeadersToAdd(), c.GetRequestHeadersToRemove()),
		ResponseHeaders: d.headerOps("response_headers", c.GetResponseHeadersToAdd(), c.GetResponseHeadersToRemove()),
		HostRewrite:     d.intern(c.GetHostRewriteLiteral()), Overrides: d.overrides(c.GetTypedPerFilterConfig()),
	}
	if h := c.GetClusterHeader(); h != "" {
		d.in("cluster_header", func() { out.ClusterHeader = d.anyHeaderName(h) })
	}
	if (out.Name == "") == (out.ClusterHeader == "") {
		d.fail("exactly one of name and cluster_header must be set")
	}
	return out
}

func (d *decoder) hostRewrite(a *routev3.RouteAction, out *config.Forward) {
	switch s := a.GetHostRewriteSpecifier().(type) {
	case nil:
	case *routev3.RouteAction_HostRewriteLiteral:
		out.HostRewrite = d.intern(s.HostRewriteLiteral)
	case *routev3.RouteAction_AutoHostRewrite:
		out.AutoHost = truth(s.AutoHostRewrite, false)
	case *routev3.RouteAction_HostRewriteHeader:
		d.in("host_rewrite_header", func() { out.HostFromHeader = d.anyHeaderName(s.HostRewriteHeader) })
	case *routev3.RouteAction_HostRewritePathRegex:
		out.HostFromPath = d.rewrite("host_rewrite_path_regex", s.HostRewritePathRegex)
	default:
		d.failIn("host_rewrite", "not supported")
	}
}

func (d *decoder) pathRewrite(a *routev3.RouteAction, out *config.Forward) {
	if a.GetPathRewrite() != "" {
		d.failIn("path_rewrite", "not supported")
	}
	p := a.GetPathRewritePolicy()
	if p == nil {
		return
	}
	d.step(segment{"path_rewrite_policy", -1, p.GetName()}, func() {
		t := d.open(p.GetTypedConfig())
		if t.message != uriTemplateRewrite {
			d.fail("not supported")
			return
		}
		out.PathTemplate = d.private(t, templateRewriteSchema).text("path_template_rewrite")
	})
}

// streamTimes decodes max_stream_duration and the older fields for gRPC.
func (d *decoder) streamTimes(a *routev3.RouteAction, out *config.Forward) {
	out.GRPCTimeoutMax = d.durationPointer("max_grpc_timeout", a.GetMaxGrpcTimeout())
	out.GRPCTimeoutOff = d.duration("grpc_timeout_offset", a.GetGrpcTimeoutOffset(), 0)
	m := a.GetMaxStreamDuration()
	d.in("max_stream_duration", func() {
		out.MaxDuration = d.durationPointer("max_stream_duration", m.GetMaxStreamDuration())
		if m.GetGrpcTimeoutHeaderMax() != nil {
			out.GRPCTimeoutMax = d.durationPointer("grpc_timeout_header_max", m.GetGrpcTimeoutHeaderMax())
		}
		out.GRPCTimeoutOff = d.duration("grpc_timeout_header_offset", m.GetGrpcTimeoutHeaderOffset(), out.GRPCTimeoutOff)
	})
}

func (d *decoder) routeUpgrades(list []*routev3.RouteAction_UpgradeConfig, out *config.Forward) {
	for i, u := range list {
		d.at("upgrade_configs", i, func() {
			d.addUpgrade(&out.Upgrades, u.GetUpgradeType(), truth(u.GetEnabled(), true))
			if c := u.GetConnectConfig(); c != nil {
				var connect *config.Connect
				d.in("connect_config", func() { connect = d.connectConfig(c, u.GetUpgradeType()) })
				if truth(u.GetEnabled(), true) {
					out.Connect = connect
				}
			}
		})
	}
}

// connectConfig decodes what ends a tunnel here instead of at the upstream.
func (d *decoder) connectConfig(c *routev3.RouteAction_UpgradeConfig_ConnectConfig, kind string) *config.Connect {
	if !strings.EqualFold(kind, http.MethodConnect) {
		d.fail("only upgrade_type CONNECT may have it")
	}
	out := &config.Connect{Post: c.GetAllowPost()}
	if p := c.GetProxyProtocolConfig(); p != nil {
		d.in("proxy_protocol_config", func() { out.Header = d.proxyHeader(p) })
	}
	return out
}

func (d *decoder) mirrors(list []*routev3.RouteAction_RequestMirrorPolicy) (out []*config.Mirror) {
	for i, m := range list {
		d.at("request_mirror_policies", i, func() {
			mirror := &config.Mirror{
				Cluster: d.intern(m.GetCluster()), Fraction: d.fraction("runtime_fraction", m.GetRuntimeFraction()),
				KeepHost: m.GetDisableShadowHostSuffixAppend(),
			}
			if h := m.GetClusterHeader(); h != "" {
				d.in("cluster_header", func() { mirror.ClusterHeader = d.anyHeaderName(h) })
			}
			if (mirror.Cluster == "") == (mirror.ClusterHeader == "") {
				d.fail("exactly one of cluster and cluster_header must be set")
			}
			d.noEffect(len(m.GetRequestHeadersMutations()) > 0 || m.GetHostRewriteLiteral() != "", "request_headers_mutations")
			out = append(out, mirror)
		})
	}
	return out
}

func (d *decoder) hashPolicies(list []*routev3.RouteAction_HashPolicy) (out []config.HashPolicy) {
	for i, p := range list {
		d.at("hash_policy", i, func() { out = append(out, d.hashPolicy(p)) })
	}
	return out
}

func (d *decoder) hashPolicy(p *routev3.RouteAction_HashPolicy) config.HashPolicy {
	out := config.HashPolicy{Terminal: p.GetTerminal()}
	switch s := p.GetPolicySpecifier().(type) {
	case *routev3.RouteAction_HashPolicy_Header_:
		d.in("header", func() {
			out.Name = d.anyHeaderName(s.Header.GetHeaderName())
			out.Rewrite = d.rewrite("regex_rewrite", s.Header.GetRegexRewrite())
		})
	case *routev3.RouteAction_HashPolicy_Cookie_:
		d.in("cookie", func() { d.hashCookie(s.Cookie, &out) })
	case *routev3.RouteAction_HashPolicy_ConnectionProperties_:
		out.Kind = config.HashSourceIP
		if !s.ConnectionProperties.GetSourceIp() {
			d.failIn("connection_properties", "only source_ip is supported")
		}
	case *routev3.RouteAction_HashPolicy_QueryParameter_:
		out.Kind, out.Name = config.HashQuery, d.intern(s.QueryParameter.GetName())
	default:
		d.fail("this kind of hash policy is not supported")
	}
	if out.Name == "" && out.Kind != config.HashSourceIP {
		d.fail("no name to hash by")
	}
	return out
}

func (d *decoder) hashCookie(c *routev3.RouteAction_HashPolicy_Cookie, out *config.HashPolicy) {
	out.Kind, out.Name, out.CookiePath = config.HashCookie, d.intern(c.GetName()), c.GetPath()
	out.CookieTTL = d.durationPointer("ttl", c.GetTtl())
	for _, a := range c.GetAttributes() {
		out.Attributes = append(out.Attributes, [2]string{a.GetName(), a.GetValue()})
	}
}
