package xds

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// upstreamHTTP decodes what is spoken with a cluster's hosts: the extension, or the older fields of the cluster.
func (d *decoder) upstreamHTTP(m *clusterv3.Cluster, out *config.Cluster) {
	out.HTTP.IdleTimeout = defaultIdleTimeout
	out.HTTP.MaxRequests = number(m.MaxRequestsPerConnection, 0)
	d.olderOptions(m, &out.HTTP)
	for _, name := range sortedKeys(m.TypedExtensionProtocolOptions) {
		d.step(segment{"typed_extension_protocol_options", -1, name}, func() {
			t := d.open(m.TypedExtensionProtocolOptions[name])
			if t.message != upstreamHTTPType {
				d.note(NoEffect, name)
				return
			}
			d.protocolOptions(t, &out.HTTP)
		})
	}
}

func (d *decoder) olderOptions(m *clusterv3.Cluster, out *config.UpstreamHTTP) {
	d.in("common_http_protocol_options", func() { d.upstreamCommon(m.CommonHttpProtocolOptions, out) })
	if o := m.UpstreamHttpProtocolOptions; o != nil {
		d.namesTLS = true
		out.AutoSNI, out.AutoSAN = o.AutoSni, o.AutoSanValidation
	}
	if m.HttpProtocolOptions != nil {
		d.in("http_protocol_options", func() { out.PreserveCase = d.preserveCase(m.HttpProtocolOptions) })
	}
	if m.Http2ProtocolOptions != nil {
		out.Protocol = config.UpstreamHTTP2
		d.in("http2_protocol_options", func() { out.HTTP2 = d.http2Options(m.Http2ProtocolOptions) })
	}
	if m.ProtocolSelection == clusterv3.Cluster_USE_DOWNSTREAM_PROTOCOL {
		out.Protocol = config.UpstreamSame
	}
}

func (d *decoder) protocolOptions(t typed, out *config.UpstreamHTTP) {
	var m httpv3.HttpProtocolOptions
	if !d.into(t, &m) {
		return
	}
	d.in("common_http_protocol_options", func() { d.upstreamCommon(m.CommonHttpProtocolOptions, out) })
	if o := m.UpstreamHttpProtocolOptions; o != nil {
		d.namesTLS = true
		out.AutoSNI, out.AutoSAN = o.AutoSni, o.AutoSanValidation
		if o.OverrideAutoSniHeader != "" {
			d.failIn("upstream_http_protocol_options.override_auto_sni_header", "not supported")
		}
	}
	d.upstreamProtocol(&m, out)
	d.upstreamHTTPFilters(&m)
}

// upstreamHTTPFilters lets through the codec, which is what every chain of them ends in.
func (d *decoder) upstreamHTTPFilters(m *httpv3.HttpProtocolOptions) {
	for i, f := range m.HttpFilters {
		if t := d.open(f.GetTypedConfig()); t.message != httpFilterTypes+"upstream_codec.v3.UpstreamCodec" {
			d.step(segment{"http_filters", i, f.GetName()}, func() { d.refuse(f.GetName(), "not supported", f.GetIsOptional()) })
		}
	}
	d.noEffect(m.OutlierDetection != nil, "outlier_detection")
	d.noEffect(len(m.RequestMirrorPolicies)+len(m.HashPolicy) > 0 || m.RetryPolicy != nil, "request_mirror_policies, hash_policy or retry_policy")
}

func (d *decoder) upstreamProtocol(m *httpv3.HttpProtocolOptions, out *config.UpstreamHTTP) {
	switch s := m.UpstreamProtocolOptions.(type) {
	case *httpv3.HttpProtocolOptions_ExplicitHttpConfig_:
		d.in("explicit_http_config", func() { d.explicit(s.ExplicitHttpConfig, out) })
	case *httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig:
		d.in("use_downstream_protocol_config", func() {
			c := s.UseDownstreamProtocolConfig
			d.bothOptions(config.UpstreamSame, c.GetHttpProtocolOptions(), c.GetHttp2ProtocolOptions(), out)
		})
	case *httpv3.HttpProtocolOptions_AutoConfig:
		d.in("auto_config", func() {
			c := s.AutoConfig
			d.bothOptions(config.UpstreamAuto, c.GetHttpProtocolOptions(), c.GetHttp2ProtocolOptions(), out)
		})
	default:
		d.fail("no protocol")
	}
}

func (d *decoder) explicit(c *httpv3.HttpProtocolOptions_ExplicitHttpConfig, out *config.UpstreamHTTP) {
	switch p := c.GetProtocolConfig().(type) {
	case *httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions:
		out.Protocol, out.PreserveCase = config.UpstreamHTTP1, d.preserveCase(p.HttpProtocolOptions)
	case *httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions:
		out.Protocol, out.HTTP2 = config.UpstreamHTTP2, d.http2Options(p.Http2ProtocolOptions)
	case *httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http3ProtocolOptions:
		d.failIn("http3_protocol_options", "not supported")
	default:
		d.fail("no protocol")
	}
}

func (d *decoder) bothOptions(p config.UpstreamProtocol, one *corev3.Http1ProtocolOptions, two *corev3.Http2ProtocolOptions, out *config.UpstreamHTTP) {
	out.Protocol, out.PreserveCase = p, d.preserveCase(one)
	d.in("http2_protocol_options", func() { out.HTTP2 = d.http2Options(two) })
}

func (d *decoder) upstreamCommon(o *corev3.HttpProtocolOptions, out *config.UpstreamHTTP) {
	if o == nil {
		return
	}
	out.IdleTimeout = d.duration("idle_timeout", o.IdleTimeout, defaultIdleTimeout)
	out.MaxDuration = d.duration("max_connection_duration", o.MaxConnectionDuration, 0)
	out.MaxRequests = number(o.MaxRequestsPerConnection, out.MaxRequests)
	out.MaxHeaders = number(o.MaxHeadersCount, 0)
	out.MaxHeadBytes = min(number(o.MaxResponseHeadersKb, 0), maxHeadKiB) << 10
}
