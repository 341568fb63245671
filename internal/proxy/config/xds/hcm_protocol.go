package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) commonOptions(o *corev3.HttpProtocolOptions, out *config.HTTPManager) {
	d.in("common_http_protocol_options", func() {
		out.IdleTimeout = d.duration("idle_timeout", o.GetIdleTimeout(), defaultIdleTimeout)
		out.MaxConnectionDuration = d.duration("max_connection_duration", o.GetMaxConnectionDuration(), 0)
		out.MaxStreamDuration = d.duration("max_stream_duration", o.GetMaxStreamDuration(), 0)
		out.MaxRequests = number(o.GetMaxRequestsPerConnection(), 0)
		if o.GetMaxHeadersCount() != nil {
			out.MaxHeaders = o.MaxHeadersCount.Value
		}
		out.Underscores = choose(d, "headers_with_underscores_action", int32(o.GetHeadersWithUnderscoresAction()), []config.Underscores{
			config.UnderscoresAllow, config.UnderscoresReject, config.UnderscoresDrop,
		})
	})
}

func (d *decoder) http1Options(o *corev3.Http1ProtocolOptions, out *config.HTTPManager) {
	d.in("http_protocol_options", func() {
		d.noEffect(!truth(o.GetAllowAbsoluteUrl(), true), "allow_absolute_url")
		out.AcceptHTTP10 = o.GetAcceptHttp_10()
		out.DefaultHostHTTP10 = d.intern(o.GetDefaultHostForHttp_10())
		out.PreserveCase = d.preserveCase(o)
		if o.GetAllowChunkedLength() {
			d.failIn("allow_chunked_length", "not supported: such requests are refused")
		}
	})
}

// preserveCase reads header_key_format. Names are sent in lower case otherwise; proper case is not known.
func (d *decoder) preserveCase(o *corev3.Http1ProtocolOptions) bool {
	switch f := o.GetHeaderKeyFormat().GetHeaderFormat().(type) {
	case *corev3.Http1ProtocolOptions_HeaderKeyFormat_StatefulFormatter:
		if d.open(f.StatefulFormatter.GetTypedConfig()).message == caseWordsType {
			return true
		}
		d.failIn("header_key_format.stateful_formatter", "not supported")
	case *corev3.Http1ProtocolOptions_HeaderKeyFormat_ProperCaseWords_:
		d.note(Degraded, "header_key_format.proper_case_words")
	}
	return false
}

func (d *decoder) http2Options(o *corev3.Http2ProtocolOptions) config.HTTP2Options {
	k := o.GetConnectionKeepalive()
	return config.HTTP2Options{
		MaxStreams: number(o.GetMaxConcurrentStreams(), 0), HeaderTable: number(o.GetHpackTableSize(), 0),
		StreamWindow:      d.window("initial_stream_window_size", number(o.GetInitialStreamWindowSize(), 0)),
		ConnectionWindow:  d.window("initial_connection_window_size", number(o.GetInitialConnectionWindowSize(), 0)),
		AllowConnect:      o.GetAllowConnect(),
		KeepAliveInterval: d.duration("connection_keepalive.interval", k.GetInterval(), 0),
		KeepAliveTimeout:  d.duration("connection_keepalive.timeout", k.GetTimeout(), 0),
	}
}

// window checks a flow control window: 64 KiB to 2 GiB, as RFC 9113 and Envoy bound it.
func (d *decoder) window(field string, n uint32) uint32 {
	if n != 0 && (n < 65535 || n > 1<<31-1) {
		d.failIn(field, "%d is not between 65535 and 2147483647", n)
	}
	return n
}
