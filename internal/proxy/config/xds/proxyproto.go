package xds

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	srcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_src/v3"
	proxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// tlvNamespace is the metadata namespace of rules that name none.
const tlvNamespace = "envoy.filters.listener.proxy_protocol"

// inspectorOrder refuses lists that would have to be run in another order than theirs: a header comes before all that
// filters which look at bytes could see.
func (d *decoder) inspectorOrder(kind config.InspectorKind, before []config.Inspector) {
	if kind != config.ProxyProtocolFilter {
		return
	}
	for i := range before {
		switch before[i].Kind {
		case config.TLSInspector, config.HTTPInspector:
			d.fail("behind a filter that looks at the same bytes: not supported")
		case config.ProxyProtocolFilter:
			d.fail("there are two of them")
		case config.OriginalDestination, config.OriginalSourceFilter:
		}
	}
}

func (d *decoder) proxyProtocol(t typed, out *config.Inspector) {
	var m proxyv3.ProxyProtocol
	if !d.into(t, &m) {
		return
	}
	out.Proxy = &config.ProxyProtocol{Optional: m.AllowRequestsWithoutProxyProtocol, StatPrefix: d.intern(m.StatPrefix)}
	for _, v := range m.DisallowedVersions {
		out.Proxy.NoV1 = out.Proxy.NoV1 || v == corev3.ProxyProtocolConfig_V1
		out.Proxy.NoV2 = out.Proxy.NoV2 || v == corev3.ProxyProtocolConfig_V2
	}
	if m.TlvLocation != proxyv3.ProxyProtocol_DYNAMIC_METADATA {
		d.failIn("tlv_location", "%s is not supported", m.TlvLocation)
	}
	for i, r := range m.Rules {
		d.at("rules", i, func() { out.Proxy.Rules = append(out.Proxy.Rules, d.tlvRule(r)) })
	}
	d.in("pass_through_tlvs", func() { out.Proxy.Pass = d.tlvPass(m.PassThroughTlvs) })
}

func (d *decoder) tlvRule(r *proxyv3.ProxyProtocol_Rule) config.TLVRule {
	on := r.GetOnTlvPresent()
	out := config.TLVRule{Type: d.tlvType(r.GetTlvType()), Namespace: d.intern(on.GetMetadataNamespace()), Key: d.intern(on.GetKey())}
	if out.Namespace == "" {
		out.Namespace = tlvNamespace
	}
	if out.Key == "" {
		d.failIn("on_tlv_present.key", "empty")
	}
	switch e := on.GetValueStringEncoding(); e {
	case proxyv3.ProxyProtocol_KeyValuePair_UNSPECIFIED, proxyv3.ProxyProtocol_KeyValuePair_SANITIZED_UTF8:
	case proxyv3.ProxyProtocol_KeyValuePair_BASE64:
		out.Base64 = true
	default:
		d.failIn("on_tlv_present.value_string_encoding", "unknown encoding %d", e)
	}
	return out
}

func (d *decoder) tlvType(n uint32) byte {
	if n > 255 {
		d.fail("TLV type %d is above 255", n)
	}
	return byte(n)
}

// tlvPass decodes a choice of TLVs; nil: none.
func (d *decoder) tlvPass(p *corev3.ProxyProtocolPassThroughTLVs) *config.TLVPass {
	if p == nil {
		return nil
	}
	out := &config.TLVPass{All: p.MatchType == corev3.ProxyProtocolPassThroughTLVs_INCLUDE_ALL}
	if !out.All && p.MatchType != corev3.ProxyProtocolPassThroughTLVs_INCLUDE {
		d.failIn("match_type", "unknown type %d", p.MatchType)
	}
	for _, n := range p.TlvType {
		if kind := d.tlvType(n); !slices.Contains(out.Types, kind) {
			out.Types = append(out.Types, kind)
		}
	}
	return out
}

func (d *decoder) originalSource(t typed, out *config.Inspector) {
	var m srcv3.OriginalSrc
	if d.into(t, &m) {
		out.Source = &config.OriginalSource{Mark: m.Mark, Port: m.BindPort}
	}
}
