package proxy

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

// TestIntroducedClient: a load balancer's header tells HTTP who the client is, for x-forwarded-for and for RBAC, and who
// connected.
func TestIntroducedClient(t *testing.T) {
	b, err := xds.Bootstrap([]byte(`{"node": {"id": "n"}, "static_resources": {"listeners": [{"name": "virtualInbound", "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15006}},
		"listener_filters": [{"name": "p", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"}}],
		"filter_chains": [{"filters": [{"name": "hcm", "typed_config": {"@type": "` + hcm + `", "stat_prefix": "in", "use_remote_address": true,
			"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200},
				"response_headers_to_add": [{"header": {"key": "x-who", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% by %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}}]}]}]},
			"http_filters": [{"name": "rbac", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": {"action": "DENY", "policies": {"p": {
				"permissions": [{"any": true}], "principals": [{"remote_ip": {"address_prefix": "192.0.2.66", "prefix_len": 32}}]}}}}},
				{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]
		}}]}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) { o.Bootstrap = b })
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	for client, want := range map[string]string{"192.0.2.1": "x-who: 192.0.2.1 by 127.0.0.1", "192.0.2.66": "HTTP/1.1 403 "} {
		got := ask(t, r.inbound, fmt.Sprintf("PROXY TCP4 %s 127.0.0.1 1000 80\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", client))
		if !strings.Contains(got, want) {
			t.Errorf("%s: no %q in %q", client, want, got)
		}
	}
	c := dial(t, r.inbound)
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Errorf("without a header: %q", got)
	}
}
