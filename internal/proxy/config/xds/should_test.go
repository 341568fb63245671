package xds

import (
	"fmt"
	"strings"
	"testing"
)

// TestPlanned has what the support table plans beyond the core, and what becomes of configuration that asks for it: it
// works, it is noted, or it is refused. Nothing is silently left out.
func TestPlanned(t *testing.T) {
	const (
		works   = ""
		proxies = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
	)
	socket := func(kind string) string {
		return listenerOf(`listener_filters: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.` + kind + `}}]` + "\nfilter_chains: [" + tcpChain + "]")
	}
	sink := func(kind string) string {
		return managerOf(emptyRoutes + `, access_log: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.` + kind + `}}], http_filters: [` + routerFilter + "]")
	}
	service := "grpc_service: {envoy_grpc: {cluster_name: a}}"
	for name, c := range map[string]struct {
		text string
		want string // part of the note or the refusal
	}{
		"additional_addresses":        {listenerOf("additional_addresses: [{address: {socket_address: {address: 10.0.0.2, port_value: 80}}}]\nfilter_chains: [" + tcpChain + "]"), works},
		"proxy_protocol":              {socket("proxy_protocol.v3.ProxyProtocol"), works},
		"original_src":                {socket("original_src.v3.OriginalSrc"), works},
		"network ext_authz":           {networkOf("x", n+"ext_authz.v3.ExtAuthz", "stat_prefix: s, "+service), works},
		"network rate limit":          {networkOf("x", n+"local_ratelimit.v3.LocalRateLimit", "stat_prefix: s, token_bucket: {max_tokens: 1, fill_interval: 1s}"), works},
		"connection_limit":            {networkOf("x", n+"connection_limit.v3.ConnectionLimit", "stat_prefix: s, max_connections: 1"), works},
		"tunneling_config":            {tunnelOf("hostname: a:1"), works},
		"jwt_authn":                   {filtersOf(httpFilterOf("x", h+"jwt_authn.v3.JwtAuthentication", "")), works},
		"ext_authz":                   {filtersOf(httpFilterOf("x", h+"ext_authz.v3.ExtAuthz", service)), works},
		"ratelimit":                   {filtersOf(httpFilterOf("x", h+"ratelimit.v3.RateLimit", "domain: d, rate_limit_service: {"+service+"}")), works},
		"dynamic_forward_proxy":       {filtersOf(httpFilterOf("x", h+"dynamic_forward_proxy.v3.FilterConfig", "dns_cache_config: {name: c}")), works},
		"health_check":                {filtersOf(httpFilterOf("x", h+"health_check.v3.HealthCheck", "pass_through_mode: false")), works},
		"grpc_stats":                  {filtersOf(httpFilterOf("x", h+"grpc_stats.v3.FilterConfig", "")), works},
		"stateful_session":            {filtersOf(httpFilterOf("x", h+"stateful_session.v3.StatefulSession", sessionState(cookieKind, "cookie: {name: c}"))), works},
		"response rate":               {filtersOf(httpFilterOf("x", h+"fault.v3.HTTPFault", "response_rate_limit: {fixed_limit: {limit_kbps: 9}, percentage: {numerator: 1}}")), works},
		"rate by headers":             {filtersOf(httpFilterOf("x", h+"fault.v3.HTTPFault", "response_rate_limit: {header_limit: {}, percentage: {numerator: 1}}")), works},
		"preserved case":              {managerOf(emptyRoutes + `, http_protocol_options: {header_key_format: {stateful_formatter: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig}}}}, http_filters: [` + routerFilter + "]"), works},
		"proper case":                 {managerOf(emptyRoutes + `, http_protocol_options: {header_key_format: {proper_case_words: {}}}, http_filters: [` + routerFilter + "]"), "degraded header_key_format.proper_case_words"},
		"gRPC access log":             {sink("grpc.v3.HttpGrpcAccessLogConfig, common_config: {log_name: l, " + service + "}"), works},
		"TCP access log":              {sink("grpc.v3.TcpGrpcAccessLogConfig, common_config: {log_name: l, " + service + "}"), works},
		"OTel access log":             {sink("open_telemetry.v3.OpenTelemetryAccessLogConfig, common_config: {log_name: l, " + service + "}"), works},
		"CEL log filter":              {managerOf(emptyRoutes + `, access_log: [{name: g, filter: {extension_filter: {name: c, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, expression: "response.code >= 400"}}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}], http_filters: [` + routerFilter + "]"), works},
		"CEL log filter, wrong":       {managerOf(emptyRoutes + `, access_log: [{name: g, filter: {extension_filter: {name: c, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, expression: "response.cod >= 400"}}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}], http_filters: [` + routerFilter + "]"), "filter.extension_filter.expression (g): the expression \"response.cod >= 400\": the attribute response.cod is unknown (line 1, column 1)"},
		"CEL log filter's cel_config": {managerOf(emptyRoutes + `, access_log: [{name: g, filter: {extension_filter: {name: c, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter, expression: "true", cel_config: {}}}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}], http_filters: [` + routerFilter + "]"), "no effect cel_config"},
		"other log filter":            {managerOf(emptyRoutes + `, access_log: [{name: g, filter: {extension_filter: {name: c, typed_config: {}}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}], http_filters: [` + routerFilter + "]"), "degraded c"},
		"fluentd access log":          {sink("fluentd.v3.FluentdAccessLogConfig"), "degraded x"},
		"upstream_log":                {managerOf(emptyRoutes + `, http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, upstream_log: [{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}]}}]`), works},
		"ip detection":                {detectionOf(xffDetectionType, ""), works},
		"other ip detection":          {managerOf(emptyRoutes + ", original_ip_detection_extensions: [{name: x, typed_config: {}}], http_filters: [" + routerFilter + "]"), "(x): not supported"},
		"dynamic_metadata":            {hostOf("{match: {prefix: /, dynamic_metadata: [{filter: f, path: [{key: k}], value: {present_match: true}}]}, route: {cluster: c}}"), works},
		"connect_matcher":             {connectOf("{upgrade_type: CONNECT, connect_config: {}}"), works},
		"retry_priority":              {hostOf(`{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_priority: {name: p, typed_config: {"@type": type.googleapis.com/` + previousPrioritiesType + `, update_frequency: 2}}}}}`), works},
		"other retry_priority":        {hostOf("{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_priority: {name: p}}}}"), "degraded p"},
		"dynamic cluster":             {dynamicOf("dns_cache_config: {name: c}", ""), works},
		"subsets":                     {clusterOf("lb_subset_config: {fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [v]}]}"), works},
		"slow start":                  {clusterOf("round_robin_lb_config: {slow_start_config: {slow_start_window: 10s}}"), works},
		"connection pools":            {clusterOf("circuit_breakers: {thresholds: [{max_connection_pools: 1}]}"), "no effect max_connection_pools"},
		"reuse_connection":            {clusterOf("health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, reuse_connection: false, tcp_health_check: {}}]"), "no effect reuse_connection"},
		"delayed close":               {managerOf(emptyRoutes + ", delayed_close_timeout: 2s, http_filters: [" + routerFilter + "]"), "no effect delayed_close_timeout"},
		"absolute URLs":               {managerOf(emptyRoutes + ", http_protocol_options: {allow_absolute_url: false}, http_filters: [" + routerFilter + "]"), "no effect allow_absolute_url"},
		"server first":                {listenerOf("metadata: {filter_metadata: {pillion.dev: {server_first: true}}}\nfilter_chains: [" + tcpChain + "]"), "server_first"},
		"override_host":               {clusterOf("common_lb_config: {override_host_status: {}}"), works},
		"zone-aware":                  {clusterOf("common_lb_config: {zone_aware_lb_config: {}}"), works},
		"success rate":                {clusterOf("outlier_detection: {enforcing_success_rate: 100, enforcing_failure_percentage: 100}"), works},
		"health checks":               {clusterOf("health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}]"), works},
		"auto_config":                 {clusterOf(`typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, auto_config: {}}}`), works},
		"proxy protocol socket":       {clusterOf(`transport_socket: {name: x, typed_config: {"@type": type.googleapis.com/` + proxies + `, transport_socket: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}`), works},
		"TLVs of version 1":           {clusterOf(`transport_socket: {name: x, typed_config: {"@type": type.googleapis.com/` + proxies + `, config: {added_tlvs: [{type: 1}]}, transport_socket: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}`), "no effect added_tlvs"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := becomesOf(t, c.text); (c.want == works) != (got == works) || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// becomesOf says what is refused or noted of a listener, a table of routes or a cluster; empty: nothing.
func becomesOf(t *testing.T, text string) string {
	t.Helper()
	var needs Needs
	var err error
	switch {
	case strings.HasPrefix(text, "{name: r"):
		_, needs, err = Routes(routesYAML(t, text))
	case strings.HasPrefix(text, "name: c"):
		_, needs, err = Cluster(clusterYAML(t, text), nil)
	default:
		_, needs, err = Listener(listenerYAML(t, text), nil)
	}
	if err != nil {
		return "refused " + err.Error()
	}
	if list := notes(needs); len(list) > 0 {
		return fmt.Sprint(list)
	}
	return ""
}
