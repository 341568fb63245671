package proxy

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestDynamicForwardProxy: requests go to the host they name, by address or by a name of /etc/hosts; never to the sidecar
// itself, and names that lead nowhere are answered for.
func TestDynamicForwardProxy(t *testing.T) {
	app := named(t, "here")
	local := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here") })) // on localhost's address
	defer local.Close()
	_, port, _ := net.SplitHostPort(local.Listener.Addr().String())
	const cache = `"dns_cache_config": {"name": "c", "dns_lookup_family": "V4_ONLY"}`
	r := newRig(t, func(o *Options) {
		o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
				{"match": {"prefix": "/other"}, "route": {"cluster": "any"}, "typed_per_filter_config": {"forward": {
					"@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig", "host_rewrite_header": "x-host"}}},
				{"match": {"prefix": "/"}, "route": {"cluster": "any"}}]}]}`,
			`{"name": "forward", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig", `+cache+`}},`, "",
			`"clusters": [{"name": "any", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "20s", "cluster_type": {"name": "envoy.clusters.dynamic_forward_proxy",
				"typed_config": {"@type": "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig", `+cache+`}}}],`)
	})
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	for _, c := range []struct{ path, host, field, want string }{
		{"/", app, "", "here"},
		{"/again", app, "", "here"},
		{"/", "localhost:" + port, "", "here"},
		{"/other", "unknown", "X-Host: " + app + "\r\n", "here"},
		{"/", "a..b", "", "DNS resolution failure"},
		{"/", "127.0.0.1:15000", "", "HTTP/1.1 503 "},
	} {
		got := ask(t, r.inbound, "GET "+c.path+" HTTP/1.1\r\nHost: "+c.host+"\r\nConnection: close\r\n"+c.field+"\r\n")
		if !strings.Contains(got, c.want) || strings.Contains(got, "upstream connect error") { // that one was dialled
			t.Errorf("%s%s: %q, want %q", c.host, c.path, got, c.want)
		}
	}
}
