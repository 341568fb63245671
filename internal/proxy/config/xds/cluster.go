package xds

import (
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Envoy's defaults.
const (
	defaultConnectTimeout  = 5 * time.Second
	defaultDNSRefresh      = 5 * time.Second
	minDNSRefresh          = time.Millisecond
	defaultCleanupInterval = 5 * time.Second
	defaultDstHeader       = "x-envoy-original-dst-host"
)

func (d *decoder) cluster(raw []byte) *config.Cluster {
	var m clusterv3.Cluster
	if !d.parse(raw, &m) {
		return nil
	}
	out := &config.Cluster{
		Name: m.Name, StatName: m.AltStatName,
		ConnectTimeout: d.duration("connect_timeout", m.ConnectTimeout, defaultConnectTimeout),
		BufferLimit:    number(m.PerConnectionBufferLimitBytes, defaultBufferLimit),
	}
	if m.Name == "" {
		d.failIn("name", "empty")
	}
	if m.ConnectTimeout != nil && out.ConnectTimeout == 0 {
		d.failIn("connect_timeout", "zero")
	}
	d.discovery(&m, out)
	d.loadBalancing(&m, out)
	d.breakers(m.CircuitBreakers, out)
	d.outlier(m.OutlierDetection, out)
	d.healthChecks(m.HealthChecks, out)
	d.upstreamHTTP(&m, out)
	d.dynamicOptions(out)
	d.upstreamTLS(&m, out)
	d.connection(&m, out)
	d.upstreamFilters(m.Filters, out)
	d.clusterMetadata(m.GetMetadata().GetFilterMetadata(), out)
	d.clusterNoEffect(&m)
	return out
}

// discovery decodes where the hosts come from.
func (d *decoder) discovery(m *clusterv3.Cluster, out *config.Cluster) {
	if m.GetClusterType() != nil {
		d.step(segment{"cluster_type", -1, m.GetClusterType().GetName()}, func() { d.clusterType(m, out) })
		return
	}
	switch m.GetType() {
	case clusterv3.Cluster_STATIC:
		out.Kind = config.StaticHosts
		d.in("load_assignment", func() { out.Endpoints = config.NewCell(d.endpoints(m.LoadAssignment, false)) })
	case clusterv3.Cluster_STRICT_DNS, clusterv3.Cluster_LOGICAL_DNS:
		d.dnsCluster(m, out)
	case clusterv3.Cluster_EDS:
		out.Kind = config.EDS
		d.edsCluster(m, out)
	case clusterv3.Cluster_ORIGINAL_DST:
		out.Kind = config.OriginalDst
		d.originalDst(m, out)
	default:
		d.failIn("type", "value %d is not supported", m.GetType())
	}
}

func (d *decoder) clusterType(m *clusterv3.Cluster, out *config.Cluster) {
	t := d.open(m.GetClusterType().GetTypedConfig())
	if t.message != dynamicClusterType {
		d.fail("not supported")
		return
	}
	d.dynamicCluster(m, t, out)
}

func (d *decoder) edsCluster(m *clusterv3.Cluster, out *config.Cluster) {
	var source ConfigSource
	d.in("eds_cluster_config", func() {
		out.ServiceName = m.GetEdsClusterConfig().GetServiceName()
		d.in("eds_config", func() { source = d.configSource(m.GetEdsClusterConfig().GetEdsConfig()) })
	})
	if out.ServiceName == out.Name { // the usual case keeps one string
		out.ServiceName = ""
	}
	name := out.ServiceName
	if name == "" {
		name = out.Name
	}
	d.need("endpoints", &d.needs.Endpoints, name, source)
	out.Endpoints = d.cells.Endpoints(name)
	if m.LoadAssignment != nil {
		d.failIn("load_assignment", "an EDS cluster has none")
	}
}

func (d *decoder) dnsCluster(m *clusterv3.Cluster, out *config.Cluster) {
	out.Kind = config.StrictDNS
	if m.GetType() == clusterv3.Cluster_LOGICAL_DNS {
		out.Kind = config.LogicalDNS
	}
	d.in("load_assignment", func() {
		e := d.endpoints(m.LoadAssignment, true)
		out.Endpoints = config.NewCell(e)
		if out.Kind == config.LogicalDNS && (len(e.Localities) != 1 || len(e.Localities[0].Hosts) != 1) {
			d.fail("a LOGICAL_DNS cluster has one locality with one endpoint")
		}
	})
	out.DNS = d.dns(m)
}

func (d *decoder) dns(m *clusterv3.Cluster) config.DNSOptions {
	out := config.DNSOptions{
		Refresh: d.duration("dns_refresh_rate", m.DnsRefreshRate, defaultDNSRefresh), RespectTTL: m.RespectDnsTtl,
		Jitter: d.duration("dns_jitter", m.DnsJitter, 0),
	}
	if m.DnsRefreshRate != nil && out.Refresh < minDNSRefresh {
		d.failIn("dns_refresh_rate", "below 1ms")
	}
	out.FailureBase, out.FailureMax = out.Refresh, out.Refresh
	if f := m.DnsFailureRefreshRate; f != nil {
		d.in("dns_failure_refresh_rate", func() {
			out.FailureBase = d.duration("base_interval", f.BaseInterval, out.Refresh)
			out.FailureMax = d.duration("max_interval", f.MaxInterval, 10*out.FailureBase)
		})
	}
	switch m.DnsLookupFamily {
	case clusterv3.Cluster_AUTO:
		out.V4, out.V6 = true, true
	case clusterv3.Cluster_V4_ONLY:
		out.V4 = true
	case clusterv3.Cluster_V6_ONLY:
		out.V6 = true
	case clusterv3.Cluster_V4_PREFERRED:
		out.V4, out.V6, out.PreferV4 = true, true, true
	case clusterv3.Cluster_ALL:
		out.V4, out.V6, out.All = true, true, true
	default:
		d.failIn("dns_lookup_family", "value %d is not supported", m.DnsLookupFamily)
	}
	return out
}

func (d *decoder) originalDst(m *clusterv3.Cluster, out *config.Cluster) {
	c := m.GetOriginalDstLbConfig()
	d.in("original_dst_lb_config", func() {
		out.OriginalDst = config.OriginalDstOptions{
			UseHeader: c.GetUseHttpHeader(), Header: d.lowered([]string{c.GetHttpHeaderName()})[0],
			PortOverride: d.port("upstream_port_override", number(c.GetUpstreamPortOverride(), 0)),
		}
		if out.OriginalDst.Header == "" {
			out.OriginalDst.Header = defaultDstHeader
		}
		if c.GetMetadataKey() != nil {
			d.failIn("metadata_key", "not supported")
		}
	})
	out.OriginalDst.CleanupInterval = d.duration("cleanup_interval", m.CleanupInterval, defaultCleanupInterval)
	if m.LoadAssignment != nil {
		d.failIn("load_assignment", "an ORIGINAL_DST cluster has none")
	}
}

// connection decodes how connections are made.
func (d *decoder) connection(m *clusterv3.Cluster, out *config.Cluster) {
	if k := m.GetUpstreamConnectionOptions().GetTcpKeepalive(); k != nil {
		out.KeepAlive = &config.TCPKeepAlive{
			Probes:   number(k.KeepaliveProbes, 0),
			Time:     time.Duration(number(k.KeepaliveTime, 0)) * time.Second,
			Interval: time.Duration(number(k.KeepaliveInterval, 0)) * time.Second,
		}
	}
	d.in("upstream_bind_config", func() { d.bind(m.UpstreamBindConfig, out) })
}

func (d *decoder) bind(b *corev3.BindConfig, out *config.Cluster) {
	if b.GetSourceAddress() != nil {
		d.in("source_address", func() { d.bindAddress(b.GetSourceAddress(), out) })
	}
	for i, e := range b.GetExtraSourceAddresses() {
		d.at("extra_source_addresses", i, func() { d.bindAddress(e.GetAddress(), out) })
	}
	for i, a := range b.GetAdditionalSourceAddresses() {
		d.at("additional_source_addresses", i, func() { d.bindAddress(a, out) })
	}
	d.noEffect(len(b.GetSocketOptions()) > 0, "socket_options")
	d.noEffect(truth(b.GetFreebind(), false), "freebind")
}

// bindAddress takes one address a family. The unspecified one leaves the choice to the kernel.
func (d *decoder) bindAddress(s *corev3.SocketAddress, out *config.Cluster) {
	a := d.socketAddress(s)
	if a.Port() != 0 {
		d.failIn("port_value", "a source port is not supported")
	}
	to := &out.SourceV6
	if a.Addr().Is4() {
		to = &out.SourceV4
	}
	if !a.Addr().IsUnspecified() {
		*to = a.Addr()
	}
}

func (d *decoder) upstreamTLS(m *clusterv3.Cluster, out *config.Cluster) {
	if m.TransportSocketMatcher != nil {
		d.failIn("transport_socket_matcher", "not supported")
	}
	d.in("transport_socket", func() { out.Header, out.TLS = d.hostSocket(m.TransportSocket) })
	out.Introduces = out.Header != nil
	for i, t := range m.TransportSocketMatches {
		d.at("transport_socket_matches", i, func() {
			match := config.TransportMatch{Name: d.intern(t.GetName()), Match: texts(t.GetMatch())}
			d.in("transport_socket", func() { match.Header, match.TLS = d.hostSocket(t.GetTransportSocket()) })
			out.TLSMatches = append(out.TLSMatches, match)
			out.Introduces = out.Introduces || match.Header != nil
		})
	}
}

// upstreamFilters are network filters of connections to hosts.
func (d *decoder) upstreamFilters(list []*clusterv3.Filter, out *config.Cluster) {
	for i, f := range list {
		d.step(segment{"filters", i, f.GetName()}, func() {
			t := d.open(f.GetTypedConfig())
			if t.message != "envoy.tcp.metadataexchange.config.MetadataExchange" {
				d.fail("not supported")
				return
			}
			out.Filters = append(out.Filters, config.NetworkFilter{Name: d.intern(f.GetName()), Config: d.metadataExchange(t)})
		})
	}
}

// clusterMetadata reads what Istio and we say of a cluster.
func (d *decoder) clusterMetadata(m map[string]*structpb.Struct, out *config.Cluster) {
	istio := m["istio"]
	for _, s := range istio.GetFields()["services"].GetListValue().GetValues() {
		s := s.GetStructValue()
		out.Service = config.ServiceLabels{Host: text(s, "host"), Name: text(s, "name"), Namespace: text(s, "namespace")}
		break
	}
	out.ALPNAlone = text(istio, "alpn_override") == "false"
	out.External = istio.GetFields()["external"].GetBoolValue()
	for name, fields := range m {
		if name != "istio" && name != "pillion.dev" {
			if out.Metadata == nil {
				out.Metadata = map[string]map[string]any{}
			}
			out.Metadata[name] = fields.AsMap()
		}
	}
	own := m["pillion.dev"]
	out.Host = text(own, "host")
	d.in("metadata.filter_metadata[pillion.dev]", func() { out.VIPs = d.vips(own.GetFields()["vips"].GetListValue().GetValues()) })
}

func (d *decoder) vips(list []*structpb.Value) (out []netip.Addr) {
	for i, v := range list {
		d.at("vips", i, func() { out = append(out, d.ip("value", v.GetStringValue())) })
	}
	return out
}

func (d *decoder) clusterNoEffect(m *clusterv3.Cluster) {
	d.noEffect(m.TrackTimeoutBudgets || m.TrackClusterStats != nil, "track_timeout_budgets")
	d.noEffect(m.PreconnectPolicy != nil, "preconnect_policy")
	d.noEffect(m.LrsServer != nil, "lrs_server")
	d.noEffect(m.WaitForWarmOnInit != nil, "wait_for_warm_on_init")
	d.noEffect(m.ConnectionPoolPerDownstreamConnection, "connection_pool_per_downstream_connection")
	d.noEffect(m.IgnoreHealthOnHostRemoval, "ignore_health_on_host_removal")
	d.noEffect(m.TypedDnsResolverConfig != nil || m.DnsResolutionConfig != nil, "typed_dns_resolver_config")
	d.noEffect(len(m.DnsResolvers) > 0 || m.UseTcpForDnsLookups, "dns_resolvers")
	d.noEffect(m.GetUpstreamConnectionOptions().GetHappyEyeballsConfig() != nil, "upstream_connection_options.happy_eyeballs_config")
	if m.UpstreamConfig != nil {
		d.failIn("upstream_config", "not supported")
	}
}
