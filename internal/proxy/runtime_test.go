package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

const hcm = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

// inboundOf is a bootstrap whose inbound listener has a manager with these fields, as JSON.
func inboundOf(t *testing.T, fields, rest string) *xds.BootstrapConfig {
	t.Helper()
	b, err := xds.Bootstrap([]byte(`{"node": {"id": "n"}, ` + rest + ` "static_resources": {"listeners": [{"name": "virtualInbound",
		"address": {"socket_address": {"address": "0.0.0.0", "port_value": 15006}}, "filter_chains": [{"filters": [{"name": "hcm", "typed_config": {
			"@type": "` + hcm + `", "stat_prefix": "in", ` + fields + `,
			"http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]
		}}]}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRuntimeKeys: what the bootstrap's layers or /runtime_modify say of a key counts for routes.
func TestRuntimeKeys(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
			{"match": {"prefix": "/", "runtime_fraction": {"runtime_key": "new", "default_value": {"numerator": 0}}}, "direct_response": {"status": 201}},
			{"match": {"prefix": "/"}, "direct_response": {"status": 202}}
		]}]}`, `"layered_runtime": {"layers": [{"name": "static", "static_layer": {"old": 1}}, {"name": "admin", "admin_layer": {}}]},`)
	})
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	for _, c := range []struct{ value, want string }{{"", "202"}, {"100", "201"}, {"0", "202"}} {
		if err := r.values.Modify(map[string]string{"new": c.value}); err != nil {
			t.Fatal(err)
		}
		got := string(exchange(t, r.inbound, []byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")))
		if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %s ", c.want)) {
			t.Errorf("with %q: %q", c.value, got)
		}
	}
}
