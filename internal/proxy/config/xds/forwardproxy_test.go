package xds

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// dynamicOf is a dynamic_forward_proxy cluster; more are fields of the cluster.
func dynamicOf(fields, more string) string {
	return "name: c\nlb_policy: CLUSTER_PROVIDED\ncluster_type: {name: x, typed_config: {\"@type\": type.googleapis.com/" + dynamicClusterType + ", " + fields + "}}\n" + more
}

func TestDynamicCluster(t *testing.T) {
	options := func(fields string) string {
		return `typed_extension_protocol_options: {o: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}, ` + fields + `}}`
	}
	usual := config.DNSCache{
		Name: "n", DNS: config.DNSOptions{Refresh: 60e9, FailureBase: 60e9, FailureMax: 60e9, V4: true, V6: true},
		MinRefresh: 5e9, HostTTL: 300e9, MaxHosts: 1024, MaxPending: 1024, QueryTimeout: 5e9,
	}
	for name, c := range map[string]struct {
		text  string
		want  config.DNSCache
		named [2]bool // auto_sni, auto_san_validation
		err   string
	}{
		"usual": {dynamicOf("dns_cache_config: {name: n}", ""), usual, [2]bool{true, true}, ""},
		"all of it": {dynamicOf("dns_cache_config: {name: n, dns_lookup_family: V4_ONLY, dns_refresh_rate: 10s, dns_min_refresh_rate: 2s, host_ttl: 3s, max_hosts: 4, dns_query_timeout: 0s, disable_dns_refresh_on_failure: true, dns_failure_refresh_rate: {base_interval: 5s, max_interval: 6s}, dns_cache_circuit_breaker: {max_pending_requests: 7}}", ""), config.DNSCache{
			Name: "n", DNS: config.DNSOptions{Refresh: 10e9, FailureBase: 5e9, FailureMax: 6e9, V4: true}, MinRefresh: 2e9, HostTTL: 3e9, MaxHosts: 4, MaxPending: 7, NoRetry: true,
		}, [2]bool{true, true}, ""},
		"names of TLS":  {dynamicOf("dns_cache_config: {name: n}", options("upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}")), usual, [2]bool{true, true}, ""},
		"insecure":      {dynamicOf("allow_insecure_cluster_options: true, dns_cache_config: {name: n}", options("upstream_http_protocol_options: {auto_sni: true}")), usual, [2]bool{true, false}, ""},
		"other options": {dynamicOf("dns_cache_config: {name: n}", options("")), usual, [2]bool{true, true}, ""},
		"not allowed":   {dynamicOf("dns_cache_config: {name: n}", options("upstream_http_protocol_options: {auto_sni: true}")), usual, [2]bool{}, "want allow_insecure_cluster_options"},
		"policy":        {strings.Replace(dynamicOf("dns_cache_config: {name: n}", ""), "CLUSTER_PROVIDED", "ROUND_ROBIN", 1), usual, [2]bool{}, "lb_policy: a dynamic_forward_proxy cluster wants CLUSTER_PROVIDED"},
		"sub clusters":  {dynamicOf("sub_clusters_config: {}", ""), usual, [2]bool{}, "sub_clusters_config (x): not supported"},
		"no name":       {dynamicOf("dns_cache_config: {}", ""), usual, [2]bool{}, "dns_cache_config.name (x): empty"},
		"address rules": {dynamicOf("dns_cache_config: {name: n, resolved_address_filter: {}}", ""), usual, [2]bool{}, "resolved_address_filter (x): not supported"},
		"min refresh":   {dynamicOf("dns_cache_config: {name: n, dns_min_refresh_rate: 0.5s}", ""), usual, [2]bool{}, "dns_min_refresh_rate (x): below 1s"},
		"hosts":         {dynamicOf("dns_cache_config: {name: n, load_assignment: 1}", ""), usual, [2]bool{}, ""},
	} {
		if name == "hosts" {
			c.text, c.err = dynamicOf("dns_cache_config: {name: n}", "load_assignment: {cluster_name: c}"), "(x): it has no load_assignment"
		}
		v, _, err := Cluster(clusterYAML(t, c.text), nil)
		switch {
		case (err == nil) != (c.err == ""), err != nil && !strings.Contains(err.Error(), c.err):
			t.Errorf("%s: %v", name, err)
		case err == nil:
			if got := *v.Cache; !reflect.DeepEqual(got, c.want) || v.Kind != config.DynamicForward || [2]bool{v.HTTP.AutoSNI, v.HTTP.AutoSAN} != c.named {
				t.Errorf("%s: %+v %+v", name, got, v.HTTP)
			}
		}
	}
}

func TestForwardProxy(t *testing.T) {
	of := func(fields string) string {
		return filtersOf(httpFilterOf("f", h+"dynamic_forward_proxy.v3.FilterConfig", fields))
	}
	l, _, err := Listener(listenerYAML(t, of("dns_cache_config: {name: n}")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Chains[0].HTTP.Filters[0].Config; !reflect.DeepEqual(got, &config.ForwardProxy{Cache: "n"}) {
		t.Errorf("%+v", got)
	}
	for fields, want := range map[string]string{
		"": "dns_cache_config.name (f): empty", "sub_cluster_config: {}": "sub_cluster_config (f): not supported",
		"dns_cache_config: {name: n}, allow_dynamic_host_from_filter_state: true": "allow_dynamic_host_from_filter_state (f): not supported",
	} {
		if _, _, err := Listener(listenerYAML(t, of(fields)), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", fields, err)
		}
	}
	for fields, want := range map[string]config.ForwardProxyRoute{"host_rewrite_literal: a": {Literal: "a"}, "host_rewrite_header: X-Host": {Header: "x-host"}} {
		v, _, err := Routes(routesYAML(t, hostOf(`{match: {prefix: /}, route: {cluster: c}, typed_per_filter_config: {f: {"@type": type.googleapis.com/`+h+`dynamic_forward_proxy.v3.PerRouteConfig, `+fields+`}}}`)))
		if err != nil {
			t.Fatal(err)
		}
		if got := v.VirtualHosts[0].Routes[0].Overrides["f"].Config; !reflect.DeepEqual(got, &want) {
			t.Errorf("%s: %+v", fields, got)
		}
	}
}
