package proxy

import (
	"strings"
	"testing"
)

// TestZoneAware: requests stay in the node's zone, as the bootstrap's local cluster lets them.
func TestZoneAware(t *testing.T) {
	places := func(name string, at ...string) string {
		list := make([]string, len(at))
		for i, address := range at {
			list[i] = `{"locality": {"zone": "` + string(rune('a'+i)) + `"}, "lb_endpoints": [` + endpointOf(address) + `]}`
		}
		return `{"name": "` + name + `", "type": "STATIC", "connect_timeout": "20s", "common_lb_config": {"zone_aware_lb_config": {"min_cluster_size": 1}},
			"load_assignment": {"cluster_name": "` + name + `", "endpoints": [` + strings.Join(list, ",") + `]}}`
	}
	for zone, want := range map[string]string{"a": "first", "b": "second"} {
		r := newRig(t, func(o *Options) {
			o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]}`,
				"", `"cluster_manager": {"local_cluster_name": "proxies"},`,
				`"clusters": [`+places("app", named(t, "first"), named(t, "second"))+","+places("proxies", "192.0.2.1:80", "192.0.2.2:80")+`],`)
			o.Bootstrap.Node.Zone = zone
		})
		r.sendTo("127.0.0.1:80")
		<-r.Warm()
		for range 10 {
			if got := ask(t, r.inbound, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(got, want) {
				t.Errorf("from zone %s: %q", zone, got)
			}
		}
	}
}
