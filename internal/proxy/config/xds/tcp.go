package xds

import (
	"maps"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	limitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/local_ratelimit/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

const defaultIdleTimeout = time.Hour

func (d *decoder) tcpProxy(t typed) *config.TCPProxy {
	var m tcpv3.TcpProxy
	if !d.into(t, &m) {
		return nil
	}
	out := &config.TCPProxy{
		StatPrefix:         d.intern(m.StatPrefix),
		IdleTimeout:        d.duration("idle_timeout", m.IdleTimeout, defaultIdleTimeout),
		MaxDuration:        d.duration("max_downstream_connection_duration", m.MaxDownstreamConnectionDuration, 0),
		MaxConnectAttempts: number(m.MaxConnectAttempts, 1),
		LogOnConnect:       m.FlushAccessLogOnConnected || m.GetAccessLogOptions().GetFlushAccessLogOnConnected(),
		AccessLogs:         d.accessLogs("access_log", m.AccessLog),
	}
	if m.MaxConnectAttempts != nil && out.MaxConnectAttempts == 0 {
		d.failIn("max_connect_attempts", "zero")
	}
	d.tcpClusters(&m, out)
	d.hashSource(m.HashPolicy, out)
	if m.TunnelingConfig != nil {
		d.in("tunneling_config", func() { out.Tunneling = d.tunneling(m.TunnelingConfig) })
	}
	if m.OnDemand != nil {
		d.failIn("on_demand", "not supported")
	}
	d.noEffect(m.AccessLogFlushInterval != nil, "access_log_flush_interval")
	d.noEffect(m.DownstreamIdleTimeout != nil, "downstream_idle_timeout")
	d.noEffect(m.UpstreamIdleTimeout != nil, "upstream_idle_timeout")
	d.noEffect(m.BackoffOptions != nil, "backoff_options")
	d.noEffect(len(m.ProxyProtocolTlvs) > 0, "proxy_protocol_tlvs")
	return out
}

func (d *decoder) tunneling(m *tcpv3.TcpProxy_TunnelingConfig) *config.Tunneling {
	out := &config.Tunneling{Post: m.UsePost, Path: m.PostPath, Headers: d.headerOps("headers", m.HeadersToAdd, nil)}
	if m.Hostname == "" {
		d.failIn("hostname", "empty")
	}
	d.in("hostname", func() { out.Host = d.format(m.Hostname) })
	if m.PostPath != "" && !m.UsePost {
		d.failIn("post_path", "only with use_post")
	}
	if m.UsePost && m.PostPath == "" {
		out.Path = "/"
	}
	d.noEffect(m.PropagateResponseHeaders, "propagate_response_headers")
	d.noEffect(m.PropagateResponseTrailers, "propagate_response_trailers")
	d.noEffect(m.RequestIdExtension != nil, "request_id_extension")
	d.formatters(m.Formatters)
	return out
}

func (d *decoder) tcpClusters(m *tcpv3.TcpProxy, out *config.TCPProxy) {
	common := subsetMatch(m.MetadataMatch)
	switch s := m.ClusterSpecifier.(type) {
	case *tcpv3.TcpProxy_Cluster:
		if s.Cluster == "" {
			d.failIn("cluster", "empty")
		}
		out.Clusters = []config.WeightedCluster{{Name: d.intern(s.Cluster), Weight: 1, SubsetMatch: common}}
		out.TotalWeight = 1
	case *tcpv3.TcpProxy_WeightedClusters:
		d.in("weighted_clusters", func() { d.tcpWeighted(s.WeightedClusters, common, out) })
	default:
		d.fail("neither cluster nor weighted_clusters")
	}
}

func (d *decoder) tcpWeighted(w *tcpv3.TcpProxy_WeightedCluster, common map[string]any, out *config.TCPProxy) {
	total := uint64(0)
	for i, c := range w.GetClusters() {
		d.at("clusters", i, func() {
			if c.GetName() == "" {
				d.failIn("name", "empty")
			}
			out.Clusters = append(out.Clusters, config.WeightedCluster{
				Name: d.intern(c.GetName()), Weight: c.GetWeight(), SubsetMatch: merged(common, subsetMatch(c.GetMetadataMatch())),
			})
			total += uint64(c.GetWeight())
		})
	}
	out.TotalWeight = d.totalWeight("clusters", total)
}

// totalWeight checks the sum of weights.
func (d *decoder) totalWeight(field string, total uint64) uint32 {
	switch {
	case total == 0:
		d.failIn(field, "the sum of weights is 0")
	case total > 1<<32-1:
		d.failIn(field, "the sum of weights is above 4294967295")
	}
	return uint32(total)
}

func (d *decoder) hashSource(list []*typev3.HashPolicy, out *config.TCPProxy) {
	for i, p := range list {
		if p.GetSourceIp() == nil {
			d.at("hash_policy", i, func() { d.fail("only source_ip is supported") })
			continue
		}
		out.HashSourceIP = true
	}
}

// subsetMatch is the part of metadata by which a subset is chosen.
func subsetMatch(m *corev3.Metadata) map[string]any {
	s := m.GetFilterMetadata()["envoy.lb"]
	if len(s.GetFields()) == 0 {
		return nil
	}
	return s.AsMap()
}

// merged is a overlaid with b.
func merged(a, b map[string]any) map[string]any {
	if len(a) == 0 || len(b) == 0 {
		if len(b) == 0 {
			return a
		}
		return b
	}
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func (d *decoder) networkRateLimit(t typed) any {
	var m ratelimitv3.LocalRateLimit
	if !d.into(t, &m) {
		return nil
	}
	out := &config.LocalRateLimit{StatPrefix: m.StatPrefix}
	d.in("token_bucket", func() { out.Bucket = d.bucket(m.TokenBucket) })
	if m.RuntimeEnabled != nil && !truth(m.RuntimeEnabled.DefaultValue, true) {
		out.Enabled = &config.Fraction{Key: m.RuntimeEnabled.RuntimeKey}
	} else {
		out.Enabled = &config.Fraction{Key: m.GetRuntimeEnabled().GetRuntimeKey(), PerMillion: perMillion}
	}
	out.Enforced = &config.Fraction{PerMillion: perMillion}
	d.noEffect(m.ShareKey != "", "share_key")
	return out
}

func (d *decoder) connectionLimit(t typed) any {
	var m limitv3.ConnectionLimit
	if !d.into(t, &m) {
		return nil
	}
	out := &config.ConnectionLimit{StatPrefix: m.StatPrefix, Max: number64(m.MaxConnections, 0), Delay: d.duration("delay", m.Delay, 0)}
	if out.Max == 0 {
		d.failIn("max_connections", "zero")
	}
	if m.RuntimeEnabled != nil && !truth(m.RuntimeEnabled.DefaultValue, true) {
		out.Max = 1<<64 - 1
	}
	return out
}
