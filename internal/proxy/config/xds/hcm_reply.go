package xds

import (
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) localReplies(c *hcmv3.LocalReplyConfig, out *config.HTTPManager) {
	if c == nil {
		return
	}
	d.in("local_reply_config", func() {
		out.LocalReplies = &config.LocalReplies{}
		for i, m := range c.Mappers {
			d.at("mappers", i, func() {
				out.LocalReplies.Mappers = append(out.LocalReplies.Mappers, d.replyMapper(m))
			})
		}
		d.in("body_format", func() { out.LocalReplies.Body = d.formatString(c.BodyFormat) })
	})
}

func (d *decoder) replyMapper(m *hcmv3.ResponseMapper) (out config.LocalReplyMapper) {
	d.in("filter", func() { out.Filter = d.logFilter(m.GetFilter()) })
	if s := m.GetStatusCode(); s != nil {
		if out.Status = s.Value; s.Value < 200 || s.Value > 599 {
			d.failIn("status_code", "%d is not between 200 and 599", s.Value)
		}
	}
	if m.GetBody() != nil {
		d.in("body", func() {
			body := string(d.source(m.GetBody()))
			out.Body = &body
		})
	}
	d.in("body_format_override", func() { out.Format = d.formatString(m.GetBodyFormatOverride()) })
	out.Headers.Add = d.headerAdds("headers_to_add", m.GetHeadersToAdd())
	return out
}
