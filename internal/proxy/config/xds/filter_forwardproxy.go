package xds

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	dynamicv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dynamic_forward_proxy/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/dynamic_forward_proxy/v3"
	forwardv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_forward_proxy/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Envoy's defaults of DnsCacheConfig, and a bound.
const (
	defaultCacheRefresh = time.Minute
	defaultMinRefresh   = 5 * time.Second
	defaultHostTTL      = 5 * time.Minute
	defaultCacheHosts   = 1024
	maxCacheHosts       = 16384
	defaultQueryTimeout = 5 * time.Second
)

func (d *decoder) forwardProxy(t typed) any {
	var m forwardv3.FilterConfig
	if !d.into(t, &m) {
		return nil
	}
	if m.GetSubClusterConfig() != nil {
		d.failIn("sub_cluster_config", "not supported")
	}
	if m.AllowDynamicHostFromFilterState {
		d.failIn("allow_dynamic_host_from_filter_state", "not supported")
	}
	d.noEffect(m.SaveUpstreamAddress, "save_upstream_address")
	out := &config.ForwardProxy{}
	d.in("dns_cache_config", func() { out.Cache = d.dnsCache(m.GetDnsCacheConfig()).Name })
	return out
}

func (d *decoder) forwardProxyOverride(t typed) (out config.Override) {
	var m forwardv3.PerRouteConfig
	if d.into(t, &m) {
		out.Config = &config.ForwardProxyRoute{Literal: d.intern(m.GetHostRewriteLiteral()), Header: d.lowered([]string{m.GetHostRewriteHeader()})[0]}
	}
	return out
}

// dynamicCluster decodes a cluster whose hosts are what requests name.
func (d *decoder) dynamicCluster(m *clusterv3.Cluster, t typed, out *config.Cluster) {
	var c dynamicv3.ClusterConfig
	if !d.into(t, &c) {
		return
	}
	out.Kind = config.DynamicForward
	if c.GetSubClustersConfig() != nil {
		d.failIn("sub_clusters_config", "not supported")
	}
	d.noEffect(c.AllowCoalescedConnections, "allow_coalesced_connections")
	d.in("dns_cache_config", func() { out.Cache = d.dnsCache(c.GetDnsCacheConfig()) })
	if m.LoadAssignment != nil {
		d.fail("it has no load_assignment")
	}
	d.insecure = c.AllowInsecureClusterOptions
}

// dynamicOptions makes TLS be for the host that requests name, unless the cluster is allowed to say otherwise.
func (d *decoder) dynamicOptions(out *config.Cluster) {
	if out.Kind != config.DynamicForward {
		return
	}
	if !d.namesTLS {
		out.HTTP.AutoSNI, out.HTTP.AutoSAN = true, true
	}
	if !d.insecure && !(out.HTTP.AutoSNI && out.HTTP.AutoSAN) {
		d.failIn("cluster_type", "upstream_http_protocol_options without auto_sni and auto_san_validation want allow_insecure_cluster_options")
	}
	if out.LB.Policy != config.LBClusterProvided {
		d.failIn("lb_policy", "a dynamic_forward_proxy cluster wants CLUSTER_PROVIDED")
	}
}

func (d *decoder) dnsCache(m *cachev3.DnsCacheConfig) *config.DNSCache {
	out := &config.DNSCache{
		Name: d.intern(m.GetName()), MinRefresh: d.duration("dns_min_refresh_rate", m.GetDnsMinRefreshRate(), defaultMinRefresh),
		HostTTL: d.duration("host_ttl", m.GetHostTtl(), defaultHostTTL), MaxHosts: number(m.GetMaxHosts(), defaultCacheHosts),
		MaxPending:   number(m.GetDnsCacheCircuitBreaker().GetMaxPendingRequests(), defaultCacheHosts),
		QueryTimeout: d.duration("dns_query_timeout", m.GetDnsQueryTimeout(), defaultQueryTimeout), NoRetry: m.GetDisableDnsRefreshOnFailure(),
	}
	if out.Name == "" {
		d.failIn("name", "empty")
	}
	if out.MaxHosts == 0 || out.MaxHosts > maxCacheHosts {
		d.failIn("max_hosts", "%d is not between 1 and %d", out.MaxHosts, maxCacheHosts)
	}
	if out.MinRefresh < time.Second {
		d.failIn("dns_min_refresh_rate", "below 1s")
	}
	if out.HostTTL == 0 {
		d.failIn("host_ttl", "zero")
	}
	out.DNS = d.cacheDNS(m)
	if m.GetResolvedAddressFilter() != nil {
		d.failIn("resolved_address_filter", "not supported")
	}
	d.noEffect(len(m.GetPreresolveHostnames()) > 0, "preresolve_hostnames")
	d.noEffect(m.GetKeyValueConfig() != nil, "key_value_config")
	d.noEffect(m.GetTypedDnsResolverConfig() != nil || m.GetDnsResolutionConfig() != nil, "typed_dns_resolver_config") //nolint:staticcheck // whoever sends the older one is told
	d.noEffect(m.GetUseTcpForDnsLookups(), "use_tcp_for_dns_lookups")                                                  //nolint:staticcheck // as above
	return out
}

// cacheDNS is how names of a cache are looked up.
func (d *decoder) cacheDNS(m *cachev3.DnsCacheConfig) config.DNSOptions {
	like := &clusterv3.Cluster{
		DnsLookupFamily: m.GetDnsLookupFamily(), DnsRefreshRate: m.GetDnsRefreshRate(), DnsFailureRefreshRate: m.GetDnsFailureRefreshRate(),
	}
	out := d.dns(like)
	if m.GetDnsRefreshRate() == nil {
		out.Refresh = defaultCacheRefresh
		if m.GetDnsFailureRefreshRate() == nil {
			out.FailureBase, out.FailureMax = out.Refresh, out.Refresh
		}
	}
	return out
}
