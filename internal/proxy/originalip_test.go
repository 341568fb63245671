package proxy

import (
	"strings"
	"testing"
)

// TestOriginalIPDetection: a header says who the client is, which the log tells; without it the request is refused.
func TestOriginalIPDetection(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
				"response_headers_to_add": [{"header": {"key": "x-saw", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}]}]}]},
			"original_ip_detection_extensions": [{"name": "h", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig",
				"header_name": "x-client", "reject_with_status": {"code": 429}}}]`, "", "", "")
	})
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	for field, want := range map[string]string{"X-Client: 192.0.2.7\r\n": "x-saw: 192.0.2.7\r\n", "X-Client: me\r\n": "HTTP/1.1 429 ", "": "HTTP/1.1 429 "} {
		if got := ask(t, r.inbound, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+field+"\r\n"); !strings.Contains(got, want) {
			t.Errorf("%q: %q", field, got)
		}
	}
}
