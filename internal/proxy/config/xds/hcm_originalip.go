package xds

import (
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	customv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/custom_header/v3"
	xffv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/xff/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// originalIP decodes original_ip_detection_extensions. As in Envoy they are the only ones to say who the client is.
func (d *decoder) originalIP(m *hcmv3.HttpConnectionManager, out *config.HTTPManager) {
	for i, e := range m.OriginalIpDetectionExtensions {
		d.step(segment{"original_ip_detection_extensions", i, e.GetName()}, func() { d.detection(d.open(e.GetTypedConfig()), out) })
	}
	if len(m.OriginalIpDetectionExtensions) == 0 {
		return
	}
	if out.UseRemoteAddress {
		d.failIn("original_ip_detection_extensions", "not together with use_remote_address")
	}
	if out.TrustedHops > 0 {
		d.failIn("original_ip_detection_extensions", "not together with xff_num_trusted_hops")
	}
}

func (d *decoder) detection(t typed, out *config.HTTPManager) {
	switch t.message {
	case xffDetectionType:
		var m xffv3.XffConfig
		if d.into(t, &m) {
			out.OriginalIP = append(out.OriginalIP, d.xffDetection(&m))
		}
	case headerDetectionType:
		var m customv3.CustomHeaderConfig
		if d.into(t, &m) {
			out.OriginalIP = append(out.OriginalIP, d.headerDetection(&m))
		}
	default:
		d.fail("not supported")
	}
}

func (d *decoder) xffDetection(m *xffv3.XffConfig) config.OriginalIP {
	out := config.OriginalIP{Hops: m.XffNumTrustedHops, Append: !truth(m.SkipXffAppend, true)}
	if m.XffTrustedCidrs == nil {
		return out
	}
	d.in("xff_trusted_cidrs", func() {
		if out.CIDRs = d.prefixes("cidrs", m.XffTrustedCidrs.Cidrs); len(out.CIDRs) == 0 {
			d.fail("empty")
		}
		if m.XffNumTrustedHops > 0 {
			d.fail("not together with xff_num_trusted_hops")
		}
	})
	return out
}

// headerDetection rejects with 403 where the status is none of an error, as Envoy does.
func (d *decoder) headerDetection(m *customv3.CustomHeaderConfig) config.OriginalIP {
	out := config.OriginalIP{Header: d.lowered([]string{m.HeaderName})[0], Trusted: m.AllowExtensionToSetAddressAsTrusted}
	if m.HeaderName == "" {
		d.failIn("header_name", "empty")
	}
	if r := m.RejectWithStatus; r != nil {
		if out.Reject = uint32(r.Code); r.Code < 400 || r.Code > 511 {
			out.Reject = 403
		}
	}
	return out
}
