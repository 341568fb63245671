package proxy

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

const hcm = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

// inboundOf is a bootstrap whose inbound listener has a manager with these fields and filters, as JSON. rest are other
// parts of the bootstrap, resources other static resources.
func inboundOf(t *testing.T, fields, filters, rest, resources string) *xds.BootstrapConfig {
	t.Helper()
	b, err := xds.Bootstrap([]byte(`{"node": {"id": "n"}, ` + rest + ` "static_resources": {` + resources + ` "listeners": [{"name": "virtualInbound",
		"address": {"socket_address": {"address": "0.0.0.0", "port_value": 15006}}, "filter_chains": [{"filters": [{"name": "hcm", "typed_config": {
			"@type": "` + hcm + `", "stat_prefix": "in", ` + fields + `,
			"http_filters": [` + filters + `{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]
		}}]}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ask sends a request whose connection ends with the answer, and returns that. Its own side stays open: a client that
// closes it may have gone.
func ask(t *testing.T, address, request string) string {
	t.Helper()
	c := dial(t, address)
	defer c.Close()
	if _, err := c.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// TestRuntimeKeys: what the bootstrap's layers or /runtime_modify say of a key counts for routes.
func TestRuntimeKeys(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
			{"match": {"prefix": "/", "runtime_fraction": {"runtime_key": "new", "default_value": {"numerator": 0}}}, "direct_response": {"status": 201}},
			{"match": {"prefix": "/"}, "direct_response": {"status": 202}}
		]}]}`, "", `"layered_runtime": {"layers": [{"name": "static", "static_layer": {"old": 1}}, {"name": "admin", "admin_layer": {}}]},`, "")
	})
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	for _, c := range []struct{ value, want string }{{"", "202"}, {"100", "201"}, {"0", "202"}} {
		if err := r.values.Modify(map[string]string{"new": c.value}); err != nil {
			t.Fatal(err)
		}
		got := ask(t, r.inbound, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %s ", c.want)) {
			t.Errorf("with %q: %q", c.value, got)
		}
	}
}

// TestStatsConfig: the bootstrap says which statistics there are, and what tags they have.
func TestStatsConfig(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": []}`, "", `"stats_config": {"stats_tags": [{"tag_name": "mesh", "fixed_value": "main"}],
			"stats_matcher": {"inclusion_list": {"patterns": [{"prefix": "server."}]}}},`, "")
	})
	got := ask(t, r.stats, "GET /stats/prometheus HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if !strings.Contains(got, `envoy_server_live{mesh="main"} `) || strings.Contains(got, "envoy_listener_manager") {
		t.Errorf("%s", got)
	}
}
