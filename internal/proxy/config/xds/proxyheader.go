package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// hostSocket decodes a cluster's transport socket: a header of the PROXY protocol, if there is one, and the TLS behind it.
func (d *decoder) hostSocket(s *corev3.TransportSocket) (header *config.ProxyHeader, tls *config.ClientTLS) {
	t := d.open(s.GetTypedConfig())
	if t.message != proxySocket {
		return nil, d.clientSocket(s)
	}
	d.step(segment{"typed_config", -1, s.GetName()}, func() {
		var m proxyv3.ProxyProtocolUpstreamTransport
		if !d.into(t, &m) {
			return
		}
		d.in("config", func() { header = d.proxyHeader(m.Config) })
		d.in("transport_socket", func() {
			if m.TransportSocket == nil {
				d.fail("is missing")
			}
			tls = d.clientSocket(m.TransportSocket)
		})
		d.noEffect(m.AllowUnspecifiedAddress, "allow_unspecified_address")
		d.noEffect(m.TlvAsPoolKey, "tlv_as_pool_key")
	})
	return header, tls
}

func (d *decoder) proxyHeader(c *corev3.ProxyProtocolConfig) *config.ProxyHeader {
	out := &config.ProxyHeader{V2: c.GetVersion() == corev3.ProxyProtocolConfig_V2}
	if !out.V2 && c.GetVersion() != corev3.ProxyProtocolConfig_V1 {
		d.failIn("version", "unknown version %d", c.GetVersion())
	}
	d.in("pass_through_tlvs", func() { out.Pass = d.tlvPass(c.GetPassThroughTlvs()) })
	out.Added = d.addedTLVs(c.GetAddedTlvs())
	if !out.V2 {
		d.noEffect(out.Pass != nil, "pass_through_tlvs")
		d.noEffect(len(out.Added) > 0, "added_tlvs")
	}
	return out
}

// mostAdded is how many bytes a configuration's TLVs may have together.
const mostAdded = 4 << 10

func (d *decoder) addedTLVs(list []*corev3.TlvEntry) (out []config.ProxyTLV) {
	total := 0
	for i, e := range list {
		d.at("added_tlvs", i, func() { out = append(out, d.proxyTLV(e)) })
		total += len(e.GetValue())
	}
	if total > mostAdded {
		d.failIn("added_tlvs", "%d bytes are more than the %d there may be", total, mostAdded)
	}
	return out
}

// hostTLVs is where an endpoint's metadata have TLVs of its own.
const hostTLVs = "envoy.transport_sockets.proxy_protocol"

// hostHeader decodes them. Envoy leaves out what it can't read, and so do we: nothing but this hangs on it.
func (d *decoder) hostHeader(a *anypb.Any) *config.ProxyHeader {
	t := d.open(a)
	var m corev3.PerHostConfig
	if t.message != string(m.ProtoReflect().Descriptor().FullName()) {
		d.note(NoEffect, t.message)
		return nil
	}
	if !d.into(t, &m) {
		return nil
	}
	return &config.ProxyHeader{Added: d.addedTLVs(m.AddedTlvs)}
}

func (d *decoder) proxyTLV(e *corev3.TlvEntry) config.ProxyTLV {
	if e.GetFormatString() != nil {
		d.failIn("format_string", "not supported")
	}
	return config.ProxyTLV{Type: d.tlvType(e.GetType()), Value: e.GetValue()}
}
