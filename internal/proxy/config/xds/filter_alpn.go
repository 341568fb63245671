package xds

import "github.com/pillion-mesh/pillion/internal/proxy/config"

// istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig.
var alpnSchema = []field{{number: 1, name: "alpn_override", kind: asMessage, repeated: true, message: []field{
	{number: 1, name: "upstream_protocol", kind: asEnum, values: []string{"HTTP10", "HTTP11", "HTTP2"}},
	{number: 2, name: "alpn_override", repeated: true},
}}}

func (d *decoder) alpn(t typed) any {
	out := &config.ALPN{}
	for i, o := range d.private(t, alpnSchema).objects("alpn_override") {
		switch list := o.texts("alpn_override"); o.enum("upstream_protocol") {
		case 0:
			out.HTTP10 = list
		case 1:
			out.HTTP11 = list
		case 2:
			out.HTTP2 = list
		default:
			d.at("alpn_override", i, func() { d.failIn("upstream_protocol", "unknown protocol %d", o.enum("upstream_protocol")) })
		}
	}
	return out
}
