package xds

import (
	"reflect"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestClusterFields has the fields of clusters that the istiod files don't have.
func TestClusterFields(t *testing.T) {
	options := func(fields string) string {
		return clusterOf(`typed_extension_protocol_options: {o: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, ` + fields + `}}`)
	}
	dns := func(fields string) string {
		return "{name: c, type: LOGICAL_DNS, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: a.b, port_value: 1}}}}]}]}, " + fields + "}"
	}
	for name, c := range map[string]struct {
		text string
		part func(*config.Cluster) any
		want any
	}{
		"auto":           {dns("dns_lookup_family: AUTO"), families, [4]bool{true, true, false, false}},
		"v4 only":        {dns("dns_lookup_family: V4_ONLY"), families, [4]bool{true, false, false, false}},
		"v6 only":        {dns("dns_lookup_family: V6_ONLY"), families, [4]bool{false, true, false, false}},
		"v4 preferred":   {dns("dns_lookup_family: V4_PREFERRED"), families, [4]bool{true, true, true, false}},
		"all":            {dns("dns_lookup_family: ALL"), families, [4]bool{true, true, false, true}},
		"logical":        {dns(""), func(c *config.Cluster) any { return c.Kind }, config.LogicalDNS},
		"a name":         {dns(""), func(c *config.Cluster) any { h := c.Endpoints.Load().Localities[0].Hosts[0]; return h.Name }, "a.b"},
		"connect":        {clusterOf(""), func(c *config.Cluster) any { return c.ConnectTimeout }, defaultConnectTimeout},
		"breakers":       {clusterOf(""), func(c *config.Cluster) any { return c.Breakers[1] }, config.Breaker{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3}},
		"high priority":  {clusterOf("circuit_breakers: {thresholds: [{priority: HIGH, max_requests: 5, retry_budget: {min_retry_concurrency: 7}}]}"), func(c *config.Cluster) any { return c.Breakers[1] }, config.Breaker{Connections: 1024, Pending: 1024, Requests: 5, Retries: 3, BudgetPercent: 20, BudgetMin: 7}},
		"header":         {clusterOf(`transport_socket: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {version: V2, pass_through_tlvs: {match_type: INCLUDE, tlv_type: [1, 1, 255]}, added_tlvs: [{type: 2, value: eA==}]}, transport_socket: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}`), func(c *config.Cluster) any { return []any{c.Introduces, c.TLS == nil, *c.Header} }, []any{true, true, config.ProxyHeader{V2: true, Pass: &config.TLVPass{Types: []byte{1, 255}}, Added: []config.ProxyTLV{{Type: 2, Value: []byte("x")}}}}},
		"panic":          {clusterOf(""), func(c *config.Cluster) any { return c.LB.PanicPercent }, 50.0},
		"explicit 1":     {options("explicit_http_config: {http_protocol_options: {}}"), protocol, config.UpstreamHTTP1},
		"explicit 2":     {options("explicit_http_config: {http2_protocol_options: {}}"), protocol, config.UpstreamHTTP2},
		"auto protocol":  {options("auto_config: {}"), protocol, config.UpstreamAuto},
		"older 2":        {clusterOf("http2_protocol_options: {}"), protocol, config.UpstreamHTTP2},
		"older same":     {clusterOf("protocol_selection: USE_DOWNSTREAM_PROTOCOL"), protocol, config.UpstreamSame},
		"idle":           {options("common_http_protocol_options: {idle_timeout: 0s, max_requests_per_connection: 9}, explicit_http_config: {http_protocol_options: {}}"), func(c *config.Cluster) any { return [2]int{int(c.HTTP.IdleTimeout), int(c.HTTP.MaxRequests)} }, [2]int{0, 9}},
		"auto SNI":       {options("upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}, explicit_http_config: {http_protocol_options: {}}"), func(c *config.Cluster) any { return c.HTTP.AutoSNI && c.HTTP.AutoSAN }, true},
		"subsets":        {clusterOf("lb_subset_config: {fallback_policy: DEFAULT_SUBSET, default_subset: {v: a}, subset_selectors: [{keys: [z, a]}]}"), func(c *config.Cluster) any { return *c.LB.Subsets }, config.Subsets{Selectors: [][]string{{"a", "z"}}, Fallback: config.SubsetDefault, Default: map[string]any{"v": "a"}}},
		"health check":   {clusterOf("health_checks: [{timeout: 1s, interval: 2s, healthy_threshold: 3, unhealthy_threshold: 4, http_health_check: {path: /h, expected_statuses: [{start: 200, end: 300}]}}]"), func(c *config.Cluster) any { return c.Checks[0] }, config.HealthCheck{Timeout: 1e9, Interval: 2e9, Healthy: 3, Unhealthy: 4, Path: "/h", Method: "GET", Statuses: []config.PortRange{{Start: 200, End: 300}}}},
		"TCP check":      {clusterOf("health_checks: [{timeout: 1s, interval: 2s, healthy_threshold: 3, unhealthy_threshold: 4, tcp_health_check: {send: {text: '6162'}, receive: [{text: '63'}]}}]"), func(c *config.Cluster) any { return c.Checks[0] }, config.HealthCheck{Kind: config.CheckTCP, Timeout: 1e9, Interval: 2e9, Healthy: 3, Unhealthy: 4, Send: []byte("ab"), Receive: [][]byte{[]byte("c")}}},
		"outlier":        {clusterOf("outlier_detection: {}"), func(c *config.Cluster) any { return *c.Outlier }, config.Outlier{Interval: 10e9, BaseEjection: 30e9, MaxEjection: 300e9, MaxEjectedPercent: 10, Consecutive5xx: 5, ConsecutiveGateway: 5, ConsecutiveLocal: 5, Enforce5xx: 100, EnforceLocal: 100, EnforceSuccessRate: 100, SuccessRateHosts: 5, SuccessRateVolume: 100, SuccessRateFactor: 1900, FailureThreshold: 85, FailureHosts: 5, FailureVolume: 50}},
		"other metadata": {clusterOf("metadata: {filter_metadata: {istio: {config: x}, own: {a: 1}}}"), func(c *config.Cluster) any { return c.Metadata }, map[string]map[string]any{"own": {"a": 1.0}}},
	} {
		t.Run(name, func(t *testing.T) {
			v, _, err := Cluster(clusterYAML(t, c.text), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.part(v); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func families(c *config.Cluster) any { return [4]bool{c.DNS.V4, c.DNS.V6, c.DNS.PreferV4, c.DNS.All} }

func protocol(c *config.Cluster) any { return c.HTTP.Protocol }
