package xds

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// tcpChain is the least a chain needs.
const tcpChain = `{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: s, cluster: c}}]}`

// listenerOf is a listener with further fields.
func listenerOf(fields string) string {
	return "name: l\naddress: {socket_address: {address: 10.0.0.1, port_value: 80}}\n" + fields
}

// chainsOf is a listener with these chains.
func chainsOf(chains string) string { return listenerOf("filter_chains: [" + chains + "]") }

// managerOf is a listener with an HTTP connection manager with further fields.
func managerOf(fields string) string {
	return chainsOf(`{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, ` + fields + `}}]}`)
}

const (
	routerFilter = `{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}`
	emptyRoutes  = `route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: []}]}`
)

// filtersOf is a listener with these HTTP filters before the router.
func filtersOf(filters string) string {
	return managerOf(emptyRoutes + ", http_filters: [" + filters + routerFilter + "]")
}

// httpFilterOf is one HTTP filter.
func httpFilterOf(name, message, fields string) string {
	return `{name: ` + name + `, typed_config: {"@type": type.googleapis.com/` + message + `, ` + fields + `}}, `
}

// networkOf is a listener with a network filter before tcp_proxy.
func networkOf(name, message, fields string) string {
	return chainsOf(`{filters: [{name: ` + name + `, typed_config: {"@type": type.googleapis.com/` + message + `, ` + fields + `}}, ` + tcpChain[len("{filters: ["):])
}

// tunnelOf is a listener whose tcp_proxy has a tunneling_config.
func tunnelOf(fields string) string {
	return chainsOf(`{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: s, cluster: c, tunneling_config: {` + fields + `}}}]}`)
}

// TestTunneling has what DestinationRules with a tunnel become.
func TestTunneling(t *testing.T) {
	for fields, want := range map[string]config.Tunneling{
		"hostname: a:1": {Host: &config.Format{Source: "a:1", Literal: true}},
		"hostname: '%REQUESTED_SERVER_NAME%:443', use_post: true, headers_to_add: [{header: {key: X, value: y}}]": {
			Host: &config.Format{Source: "%REQUESTED_SERVER_NAME%:443"}, Post: true, Path: "/",
			Headers: config.HeaderOps{Add: []config.HeaderAdd{{Name: "x", Value: &config.Format{Source: "y", Literal: true}}}},
		},
		"hostname: a:1, use_post: true, post_path: /t": {Host: &config.Format{Source: "a:1", Literal: true}, Post: true, Path: "/t"},
	} {
		l, _, err := Listener(listenerYAML(t, tunnelOf(fields)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Chains[0].TCP.Tunneling; !reflect.DeepEqual(got, &want) {
			t.Errorf("%s: %+v", fields, got)
		}
	}
}

const (
	firstFilter = "filter_chains[0].filters[0].http_filters[0] "
	h           = "envoy.extensions.filters.http."
	n           = "envoy.extensions.filters.network."
)

// TestListenerRefused has a case for each thing of a listener that is refused, with the message's text.
func TestListenerRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"no name":                 {"address: {socket_address: {address: 1.2.3.4, port_value: 1}}\nfilter_chains: [" + tcpChain + "]", []string{"name: empty"}},
		"no address":              {"name: l\nfilter_chains: [" + tcpChain + "]", []string{"address: no address"}},
		"address not IP":          {"name: l\naddress: {socket_address: {address: x.y, port_value: 1}}\nfilter_chains: [" + tcpChain + "]", []string{`address.socket_address.address: "x.y" is not an IP address`}},
		"UDP":                     {"name: l\naddress: {socket_address: {protocol: UDP, address: 1.2.3.4, port_value: 1}}\nfilter_chains: [" + tcpChain + "]", []string{"address.socket_address.protocol: UDP isn't supported"}},
		"port":                    {"name: l\naddress: {socket_address: {address: 1.2.3.4, port_value: 70000}}\nfilter_chains: [" + tcpChain + "]", []string{"address.socket_address.port_value: port 70000 is above 65535"}},
		"address twice":           {listenerOf("additional_addresses: [{address: {socket_address: {address: 10.0.0.1, port_value: 80}}}]\nfilter_chains: [" + tcpChain + "]"), []string{"additional_addresses[0]: 10.0.0.1:80 is there twice"}},
		"udp_listener_config":     {listenerOf("udp_listener_config: {}\nfilter_chains: [" + tcpChain + "]"), []string{"udp_listener_config: not supported"}},
		"internal_listener":       {listenerOf("internal_listener: {}\nfilter_chains: [" + tcpChain + "]"), []string{"internal_listener: not supported"}},
		"filter_chain_matcher":    {listenerOf("filter_chain_matcher: {}\nfilter_chains: [" + tcpChain + "]"), []string{"filter_chain_matcher: not supported"}},
		"no chains":               {listenerOf(""), []string{"filter_chains: none"}},
		"timeout below zero":      {listenerOf("listener_filters_timeout: -1s\nfilter_chains: [" + tcpChain + "]"), []string{"listener_filters_timeout: not a duration of zero or more: -1s 0ns"}},
		"unknown listener filter": {listenerOf(`listener_filters: [{name: x, typed_config: {"@type": type.googleapis.com/some.Thing}}]` + "\nfilter_chains: [" + tcpChain + "]"), []string{"listener_filters[0] (x): not supported"}},

		"chain without filter":    {chainsOf("{name: c}"), []string{"filter_chains[0]: no terminal filter"}},
		"chain without terminal":  {chainsOf(`{filters: [{name: s, typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: x/stats.PluginConfig}}]}`), []string{"filter_chains[0].filters[0] (s): no terminal filter behind it"}},
		"terminal before another": {chainsOf(`{filters: [` + tcpChain[len("{filters: ["):len(tcpChain)-2] + ", " + tcpChain[len("{filters: ["):]), []string{"filter_chains[0].filters[0] (tcp): terminal filter is not last"}},
		"same match":              {chainsOf(tcpChain + ", " + tcpChain), []string{"filter_chains[1].filter_chain_match: the same as that of filter_chains[0]"}},
		"overlapping match":       {chainsOf("{filter_chain_match: {destination_port: 1, server_names: [a, b]}, " + tcpChain[1:] + ", {filter_chain_match: {destination_port: 1, server_names: [c, B]}, " + tcpChain[1:]), []string{"filter_chains[1].filter_chain_match: the same as that of filter_chains[0]"}},
		"CIDR":                    {chainsOf("{filter_chain_match: {prefix_ranges: [{address_prefix: 1.2.3.0, prefix_len: 33}]}, " + tcpChain[1:]), []string{"filter_chains[0].filter_chain_match.prefix_ranges[0].prefix_len: 33 doesn't fit 1.2.3.0"}},
		"CIDR address":            {chainsOf("{filter_chain_match: {source_prefix_ranges: [{address_prefix: a, prefix_len: 3}]}, " + tcpChain[1:]), []string{`filter_chains[0].filter_chain_match.source_prefix_ranges[0].address_prefix: "a" is not an IP address`}},
		"destination port":        {chainsOf("{filter_chain_match: {destination_port: 65536}, " + tcpChain[1:]), []string{"filter_chains[0].filter_chain_match.destination_port: port 65536 is above 65535"}},
		"server name":             {chainsOf("{filter_chain_match: {server_names: [a.*.b]}, " + tcpChain[1:]), []string{`filter_chains[0].filter_chain_match.server_names[0]: "a.*.b": a wildcard is only possible as the whole first label`}},
		"transport protocol":      {chainsOf("{filter_chain_match: {transport_protocol: quic}, " + tcpChain[1:]), []string{`filter_chains[0].filter_chain_match.transport_protocol: "quic" is not supported`}},
		"address suffix":          {chainsOf("{filter_chain_match: {address_suffix: 1.2.3.4}, " + tcpChain[1:]), []string{"filter_chains[0].filter_chain_match.address_suffix: not supported"}},

		"quic socket":      {chainsOf(`{transport_socket: {name: q, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport}}, ` + tcpChain[1:]), []string{"filter_chains[0].transport_socket.typed_config (q): not supported"}},
		"starttls socket":  {chainsOf(`{transport_socket: {name: s, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.starttls.v3.StartTlsConfig}}, ` + tcpChain[1:]), []string{"filter_chains[0].transport_socket.typed_config (s): not supported"}},
		"alts socket":      {chainsOf(`{transport_socket: {name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.alts.v3.Alts}}, ` + tcpChain[1:]), []string{"filter_chains[0].transport_socket.typed_config (a): not supported"}},
		"TLS without cert": {chainsOf(`{transport_socket: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext}}, ` + tcpChain[1:]), []string{"filter_chains[0].transport_socket.common_tls_context: no certificate to serve"}},
		"no cipher left":   {chainsOf(`{transport_socket: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {tls_params: {cipher_suites: [DES-CBC-SHA]}, tls_certificate_sds_secret_configs: [{name: default}]}}}, ` + tcpChain[1:]), []string{"filter_chains[0].transport_socket.common_tls_context.tls_params.cipher_suites: none of them is supported"}},
		"SPIFFE SAN":       {chainsOf(`{transport_socket: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {tls_certificate_sds_secret_configs: [{name: default}], combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe:///ns/a"}}]}, validation_context_sds_secret_config: {name: ROOTCA}}}}}, ` + tcpChain[1:]), []string{`filter_chains[0].transport_socket.common_tls_context.combined_validation_context.default_validation_context.match_typed_subject_alt_names[0]: "spiffe:///ns/a" is not a SPIFFE id`}},

		"redis_proxy":  {networkOf("r", n+"redis_proxy.v3.RedisProxy", ""), []string{"filter_chains[0].filters[0] (r): not supported"}},
		"sni dfp":      {networkOf("r", n+"sni_dynamic_forward_proxy.v3.FilterConfig", ""), []string{"filter_chains[0].filters[0] (r): not supported"}},
		"network wasm": {networkOf("w", n+"wasm.v3.Wasm", ""), []string{"filter_chains[0].filters[0] (w): not supported"}},
		"network extauthz": {networkOf("e", n+"ext_authz.v3.ExtAuthz", "shadow_mode: true, transport_api_version: V2"), []string{
			"filter_chains[0].filters[0].stat_prefix (e): empty", "filter_chains[0].filters[0].grpc_service (e): no envoy_grpc with a cluster name",
			"filter_chains[0].filters[0].transport_api_version (e): not V3", "filter_chains[0].filters[0].shadow_mode (e): not supported",
		}},
		"network unknown":  {networkOf("u", "some.Filter", ""), []string{"filter_chains[0].filters[0] (u): not supported"}},
		"weight sum":       {chainsOf(`{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: s, weighted_clusters: {clusters: [{name: a, weight: 0}]}}}]}`), []string{"filter_chains[0].filters[0].weighted_clusters.clusters (tcp): the sum of weights is 0"}},
		"tunnel to nobody": {tunnelOf("use_post: true"), []string{"filter_chains[0].filters[0].tunneling_config.hostname (tcp): empty"}},
		"tunnel's format":  {tunnelOf(`hostname: "%NOPE%"`), []string{"*filter_chains[0].filters[0].tunneling_config.hostname (tcp): "}},
		"tunnel's path":    {tunnelOf("hostname: a:1, post_path: /x"), []string{"filter_chains[0].filters[0].tunneling_config.post_path (tcp): only with use_post"}},
		"tunnel's host":    {tunnelOf("hostname: a:1, headers_to_add: [{header: {key: host, value: b}}]"), []string{"filter_chains[0].filters[0].tunneling_config.headers_to_add[0].header (tcp): host: pseudo-headers and host may not be changed"}},

		"scoped_routes":   {managerOf("scoped_routes: {name: s}, http_filters: [" + routerFilter + "]"), []string{"filter_chains[0].filters[0].scoped_routes (hcm): not supported"}},
		"no routes":       {managerOf("http_filters: [" + routerFilter + "]"), []string{"filter_chains[0].filters[0] (hcm): neither rds nor route_config"}},
		"no router":       {managerOf(emptyRoutes), []string{"filter_chains[0].filters[0].http_filters (hcm): no router"}},
		"router not last": {managerOf(emptyRoutes + ", http_filters: [" + routerFilter + ", " + strings.TrimSuffix(httpFilterOf("c", h+"cors.v3.Cors", ""), ", ") + "]"), []string{"filter_chains[0].filters[0].http_filters[0] (envoy.filters.http.router): router is not last", "filter_chains[0].filters[0].http_filters[1] (c): router is not last"}},
		"lua":             {filtersOf(httpFilterOf("envoy.filters.http.lua", h+"lua.v3.Lua", "")), []string{firstFilter + "(envoy.filters.http.lua): not supported"}},
		"wasm":            {filtersOf(httpFilterOf("w", h+"wasm.v3.Wasm", "config: {fail_open: false}")), []string{firstFilter + "(w): not supported"}},
		"ext_proc":        {filtersOf(httpFilterOf("e", h+"ext_proc.v3.ExternalProcessor", "")), []string{firstFilter + "(e): not supported"}},
		"oauth2":          {filtersOf(httpFilterOf("o", h+"oauth2.v3.OAuth2", "")), []string{firstFilter + "(o): not supported"}},
		"buffer":          {filtersOf(httpFilterOf("b", h+"buffer.v3.Buffer", "")), []string{firstFilter + "(b): not supported"}},
		"forward proxy":   {filtersOf(httpFilterOf("d", h+"dynamic_forward_proxy.v3.FilterConfig", "dns_cache_config: {name: c, max_hosts: 0}")), []string{firstFilter[:len(firstFilter)-1] + ".dns_cache_config.max_hosts (d): 0 is not between 1 and 16384"}},
		"health_check": {filtersOf(httpFilterOf("h", h+"health_check.v3.HealthCheck", "cache_time: 1s")), []string{
			firstFilter[:len(firstFilter)-1] + ".pass_through_mode (h): missing", firstFilter[:len(firstFilter)-1] + ".cache_time (h): only with pass_through_mode",
		}},
		"grpc_stats": {filtersOf(httpFilterOf("g", h+"grpc_stats.v3.FilterConfig", "individual_method_stats_allowlist: {services: [{name: s}]}")), []string{
			firstFilter[:len(firstFilter)-1] + ".individual_method_stats_allowlist.services[0] (g): no name or no methods",
		}},
		"unknown filter": {filtersOf(httpFilterOf("u", "some.Filter", "")), []string{firstFilter + "(u): not supported"}},
		"head limit":     {managerOf(emptyRoutes + ", max_request_headers_kb: 9000, http_filters: [" + routerFilter + "]"), []string{"filter_chains[0].filters[0].max_request_headers_kb (hcm): 9000 is not between 1 and 8192"}},
		"ip detection":   {managerOf(emptyRoutes + ", original_ip_detection_extensions: [{name: xff, typed_config: {}}], http_filters: [" + routerFilter + "]"), []string{"filter_chains[0].filters[0].original_ip_detection_extensions[0] (xff): not supported"}},
		"log operator":   {managerOf(emptyRoutes + `, access_log: [{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/stdout, log_format: {text_format_source: {inline_string: "%NOT_AN_OPERATOR%"}}}}], http_filters: [` + routerFilter + "]"), []string{"*filter_chains[0].filters[0].access_log[0].log_format.text_format_source (f): "}},

		"rbac condition":           {filtersOf(httpFilterOf("rbac", h+"rbac.v3.RBAC", "rules: {policies: {p: {permissions: [{any: true}], principals: [{any: true}], condition: {const_expr: {bool_value: true}}}}}")), []string{firstFilter[:len(firstFilter)-1] + ".rules.policies[p].condition (rbac): not supported"}},
		"rbac unknown permission":  {filtersOf(httpFilterOf("rbac", h+"rbac.v3.RBAC", "rules: {policies: {p: {permissions: [{matcher: {name: m}}], principals: [{any: true}]}}}")), []string{firstFilter[:len(firstFilter)-1] + ".rules.policies[p].permissions[0] (rbac): this kind of permission is not supported"}},
		"rbac unknown principal":   {filtersOf(httpFilterOf("rbac", h+"rbac.v3.RBAC", "rules: {policies: {p: {permissions: [{any: true}], principals: [{}]}}}")), []string{firstFilter[:len(firstFilter)-1] + ".rules.policies[p].principals[0] (rbac): this kind of principal is not supported"}},
		"rbac matcher":             {filtersOf(httpFilterOf("rbac", h+"rbac.v3.RBAC", "matcher: {}")), []string{firstFilter[:len(firstFilter)-1] + ".matcher (rbac): not supported"}},
		"rbac CIDR":                {filtersOf(httpFilterOf("rbac", h+"rbac.v3.RBAC", "rules: {policies: {p: {permissions: [{any: true}], principals: [{remote_ip: {address_prefix: x}}]}}}")), []string{firstFilter[:len(firstFilter)-1] + `.rules.policies[p].principals[0].remote_ip.address_prefix (rbac): "x" is not an IP address`}},
		"rbac regex":               {filtersOf(httpFilterOf("rbac", h+"rbac.v3.RBAC", `rules: {policies: {p: {permissions: [{url_path: {path: {safe_regex: {regex: "(a"}}}}], principals: [{any: true}]}}}`)), []string{firstFilter[:len(firstFilter)-1] + ".rules.policies[p].permissions[0].url_path.path.safe_regex (rbac): regex \"(a\": missing closing ): `(a`"}},
		"local_ratelimit interval": {filtersOf(httpFilterOf("l", h+"local_ratelimit.v3.LocalRateLimit", "stat_prefix: s, token_bucket: {max_tokens: 1, fill_interval: 0.01s}")), []string{firstFilter[:len(firstFilter)-1] + ".token_bucket.fill_interval (l): below 50ms"}},
		"jwt provider":             {filtersOf(httpFilterOf("j", h+"jwt_authn.v3.JwtAuthentication", `rules: [{match: {prefix: /}, requires: {provider_name: p}}]`)), []string{firstFilter[:len(firstFilter)-1] + `.rules[0].requires.provider_name (j): "p" is not in providers`}},
		"ext_authz service":        {filtersOf(httpFilterOf("e", h+"ext_authz.v3.ExtAuthz", ``)), []string{firstFilter + "(e): neither grpc_service nor http_service"}},
		"fault":                    {filtersOf(httpFilterOf("f", h+"fault.v3.HTTPFault", `abort: {http_status: 99}`)), []string{firstFilter[:len(firstFilter)-1] + ".abort.http_status (f): 99 is not between 200 and 599"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Listener(listenerYAML(t, c.text), nil)
			expect(t, reasons(t, err), c.want)
		})
	}
}

// expect compares; a wanted text that begins with * is only the beginning.
func expect(t *testing.T, got, want []string) {
	t.Helper()
	ok := slices.EqualFunc(got, want, func(g, w string) bool {
		if strings.HasPrefix(w, "*") {
			return strings.HasPrefix(g, w[1:])
		}
		return g == w
	})
	if !ok {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func clusterOf(fields string) string {
	return "name: c\ntype: STATIC\nload_assignment: {cluster_name: c}\n" + fields
}

func TestClusterRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"aggregate":         {`{name: c, cluster_type: {name: envoy.clusters.aggregate, typed_config: {}}}`, []string{"cluster_type (envoy.clusters.aggregate): not supported"}},
		"no name":           {"type: STATIC", []string{"name: empty"}},
		"policy list":       {clusterOf(`load_balancing_policy: {policies: [{typed_extension_config: {name: x, typed_config: {"@type": type.googleapis.com/some.Policy}}}]}`), []string{"load_balancing_policy: none of the policies is supported"}},
		"provided":          {clusterOf("lb_policy: CLUSTER_PROVIDED"), []string{"lb_policy: CLUSTER_PROVIDED belongs to ORIGINAL_DST clusters and to no others"}},
		"not provided":      {"{name: c, type: ORIGINAL_DST}", []string{"lb_policy: CLUSTER_PROVIDED belongs to ORIGINAL_DST clusters and to no others"}},
		"static with name":  {"{name: c, type: STATIC, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: a.b, port_value: 1}}}}]}]}}", []string{`load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: "a.b" is not an IP address`}},
		"logical":           {"{name: c, type: LOGICAL_DNS, load_assignment: {cluster_name: c}}", []string{"load_assignment: a LOGICAL_DNS cluster has one locality with one endpoint"}},
		"port override":     {"{name: c, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {upstream_port_override: 65536}}", []string{"original_dst_lb_config.upstream_port_override: port 65536 is above 65535"}},
		"internal upstream": {clusterOf(`transport_socket: {name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport}}`), []string{"transport_socket.typed_config (i): not supported"}},
		"proxy protocol":    {clusterOf(`transport_socket: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport}}`), []string{"transport_socket.typed_config.transport_socket (p): is missing"}},
		"TLV by format":     {clusterOf(`transport_socket: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {version: V2, added_tlvs: [{type: 1, format_string: {text_format_source: {inline_string: x}}}, {type: 256}]}, transport_socket: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}`), []string{"transport_socket.typed_config.config.added_tlvs[0].format_string (p): not supported", "transport_socket.typed_config.config.added_tlvs[1] (p): TLV type 256 is above 255"}},
		"two headers":       {clusterOf(`transport_socket: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, transport_socket: {name: q, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport}}}}`), []string{"transport_socket.typed_config.transport_socket.typed_config (q): not supported"}},
		"http3":             {clusterOf(`typed_extension_protocol_options: {o: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http3_protocol_options: {}}}}`), []string{"typed_extension_protocol_options.explicit_http_config.http3_protocol_options (o): not supported"}},
		"ring":              {clusterOf("lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 10, maximum_ring_size: 9}"), []string{"ring_hash_lb_config: a ring of 10 to 9: not in order or above 8388608"}},
		"maglev":            {clusterOf("lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 10}"), []string{"maglev_lb_config.table_size: 10 is not a prime of at most 5000011"}},
		"percent":           {clusterOf("common_lb_config: {healthy_panic_threshold: {value: 101}}"), []string{"common_lb_config.healthy_panic_threshold: 101 is not between 0 and 100"}},
		"outlier":           {clusterOf("outlier_detection: {max_ejection_percent: 101}"), []string{"outlier_detection.max_ejection_percent: 101 is above 100"}},
		"check":             {clusterOf("health_checks: [{timeout: 1s, interval: 1s, healthy_threshold: 1, unhealthy_threshold: 1, http_health_check: {path: x}}]"), []string{"health_checks[0].http_health_check.path: doesn't begin with a slash"}},
		"vip":               {clusterOf("metadata: {filter_metadata: {pillion.dev: {vips: [x]}}}"), []string{`metadata.filter_metadata[pillion.dev].vips[0].value: "x" is not an IP address`}},
		"upstream filter":   {clusterOf(`filters: [{name: f, typed_config: {"@type": type.googleapis.com/some.Filter}}]`), []string{"filters[0] (f): not supported"}},
		"names without CA":  {clusterOf(`transport_socket: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {validation_context: {match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]}}}}`), []string{"transport_socket.common_tls_context.validation_context.match_typed_subject_alt_names: names are worth nothing without a trusted_ca"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Cluster(clusterYAML(t, c.text), nil)
			expect(t, reasons(t, err), c.want)
		})
	}
}

// hostOf is a table with one virtual host with these routes.
func hostOf(routes string) string {
	return `{name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [` + routes + `]}]}`
}

// connectOf is a table with a route for CONNECT and one of its upgrade_configs.
func connectOf(upgrade string) string {
	return hostOf("{match: {connect_matcher: {}}, route: {cluster: c, upgrade_configs: [" + upgrade + "]}}")
}

// TestConnect: connect_config ends tunnels here, unless they are switched off.
func TestConnect(t *testing.T) {
	for upgrade, want := range map[string]*config.Connect{
		"{upgrade_type: CONNECT}":                                     nil,
		"{upgrade_type: connect, connect_config: {}}":                 {},
		"{upgrade_type: CONNECT, enabled: false, connect_config: {}}": nil,
		"{upgrade_type: CONNECT, connect_config: {allow_post: true}}": {Post: true},
		"{upgrade_type: CONNECT, connect_config: {proxy_protocol_config: {version: V2, added_tlvs: [{type: 1, value: eA==}]}}}": {
			Header: &config.ProxyHeader{V2: true, Added: []config.ProxyTLV{{Type: 1, Value: []byte("x")}}}},
	} {
		table, _, err := Routes(routesYAML(t, connectOf(upgrade)))
		if err != nil {
			t.Fatal(err)
		}
		route := table.VirtualHosts[0].Routes[0]
		if route.Match.Kind != config.PathConnect || !reflect.DeepEqual(route.Forward.Connect, want) {
			t.Errorf("%s: %+v", upgrade, route.Forward)
		}
	}
}

func TestRoutesRefused(t *testing.T) {
	const at = "virtual_hosts[0].routes[0]"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"host twice":       {`{name: r, virtual_hosts: [{name: v, domains: [a]}, {name: v, domains: [b]}]}`, []string{`virtual_hosts[1].name (v): "v" is empty or there twice`}},
		"domain twice":     {`{name: r, virtual_hosts: [{name: v, domains: [a.b]}, {name: w, domains: [A.B]}]}`, []string{`virtual_hosts[1].domains[0] (w): "a.b" is also a domain of "v"`}},
		"domain":           {`{name: r, virtual_hosts: [{name: v, domains: ["a*b"]}]}`, []string{`virtual_hosts[0].domains[0] (v): "a*b": only one wildcard is possible, in front or at the end`}},
		"weight sum":       {hostOf("{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: 0}, {name: b}]}}}"), []string{at + ".route.weighted_clusters.clusters (v): the sum of weights is 0"}},
		"regex":            {hostOf(`{match: {safe_regex: {regex: "a("}}, route: {cluster: c}}`), []string{at + ".match.safe_regex (v): regex \"a(\": missing closing ): `a(`"}},
		"regex size":       {hostOf(`{match: {safe_regex: {regex: "(a{100}b{900}|[a-z]{900}c{100}){1}(d{1000}e{1000}f{1000})"}}, route: {cluster: c}}`), []string{at + ".match.safe_regex (v): regex \"(a{100}b{900}|[a-z]{900}c{100}){1}(d{1000}e{1000}f{1000})\": it needs more than 4096 instructions"}},
		"no match":         {hostOf("{route: {cluster: c}}"), []string{at + ".match (v): no path to match"}},
		"no action":        {hostOf("{match: {prefix: /}}"), []string{at + " (v): no action"}},
		"no cluster":       {hostOf("{match: {prefix: /}, route: {}}"), []string{at + ".route (v): no cluster"}},
		"inline plugin":    {hostOf("{match: {prefix: /}, route: {inline_cluster_specifier_plugin: {extension: {name: p}}}}"), []string{at + ".route.inline_cluster_specifier_plugin (v): not supported"}},
		"matcher tree":     {`{name: r, virtual_hosts: [{name: v, domains: ["*"], matcher: {}}]}`, []string{"virtual_hosts[0].matcher (v): not supported"}},
		"vhds":             {`{name: r, vhds: {config_source: {ads: {}}}}`, []string{"vhds: not supported"}},
		"pseudo-header":    {hostOf(`{match: {prefix: /}, route: {cluster: c}, request_headers_to_add: [{header: {key: ":path", value: x}}]}`), []string{at + ".request_headers_to_add[0].header (v): :path: pseudo-headers and host may not be changed"}},
		"remove host":      {hostOf(`{match: {prefix: /}, route: {cluster: c}, request_headers_to_remove: [Host]}`), []string{at + ".request_headers_to_remove[0] (v): host: pseudo-headers and host may not be changed"}},
		"header name":      {hostOf(`{match: {prefix: /}, route: {cluster: c}, request_headers_to_remove: ["a b"]}`), []string{at + `.request_headers_to_remove[0] (v): "a b" is not a header name`}},
		"header value":     {hostOf(`{match: {prefix: /}, route: {cluster: c}, request_headers_to_add: [{header: {key: a, value: "x\r\ny"}}]}`), []string{at + ".request_headers_to_add[0].header.value (v): a header value has no line breaks and no NUL"}},
		"header operator":  {hostOf(`{match: {prefix: /}, route: {cluster: c}, request_headers_to_add: [{header: {key: a, value: "%NOPE%"}}]}`), []string{"*" + at + ".request_headers_to_add[0].header.value (v): "}},
		"two rewrites":     {hostOf(`{match: {prefix: /}, route: {cluster: c, prefix_rewrite: /a, regex_rewrite: {pattern: {regex: a}, substitution: b}}}`), []string{at + ".route (v): both prefix_rewrite and regex_rewrite"}},
		"substitution":     {hostOf(`{match: {prefix: /}, route: {cluster: c, regex_rewrite: {pattern: {regex: "(a)"}, substitution: "\\2"}}}`), []string{at + `.route.regex_rewrite.substitution (v): \2: the pattern has 1 groups`}},
		"redirect port":    {hostOf(`{match: {prefix: /}, redirect: {port_redirect: 65536}}`), []string{at + ".redirect.port_redirect (v): port 65536 is above 65535"}},
		"direct status":    {hostOf(`{match: {prefix: /}, direct_response: {status: 1}}`), []string{at + ".direct_response.status (v): 1 is not between 200 and 599"}},
		"direct body":      {`{name: r, max_direct_response_body_size_bytes: 2, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: abc}}}]}]}`, []string{at + ".direct_response.body (v): 3 bytes are more than 2"}},
		"unknown override": {hostOf(`{match: {prefix: /}, route: {cluster: c}, typed_per_filter_config: {x: {"@type": type.googleapis.com/some.Filter}}}`), []string{at + ".typed_per_filter_config (x): not supported"}},
		"lua override":     {hostOf(`{match: {prefix: /}, route: {cluster: c}, typed_per_filter_config: {x: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute}}}`), []string{at + ".typed_per_filter_config (x): not supported"}},
		"connect type":     {connectOf("{upgrade_type: websocket, connect_config: {}}"), []string{at + ".route.upgrade_configs[0].connect_config (v): only upgrade_type CONNECT may have it"}},
		"connect proxy":    {connectOf("{upgrade_type: CONNECT, connect_config: {proxy_protocol_config: {version: V2, added_tlvs: [{type: 300}]}}}"), []string{at + ".route.upgrade_configs[0].connect_config.proxy_protocol_config.added_tlvs[0] (v): TLV type 300 is above 255"}},
		"cookies":          {hostOf(`{match: {prefix: /, cookies: [{name: a, string_match: {exact: b}}]}, route: {cluster: c}}`), []string{at + ".match.cookies (v): not supported"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Routes(routesYAML(t, c.text))
			expect(t, reasons(t, err), c.want)
		})
	}
}

// TestBounds: what would cost much more than its size is refused, or done with less.
func TestBounds(t *testing.T) {
	d := newDecoder("route", nil, nil)
	for i := range 1000 {
		d.regex(fmt.Sprintf("[a-z]{1000}[a-z]{1000}%d", i))
	}
	if got := reasons(t, d.err()); len(got) == 0 || got[0] != "all regexes need more than 1048576 instructions" {
		t.Errorf("got %.200q", got)
	}
	m := &config.ChainMatch{}
	for i := range 300 {
		m.ServerNames = append(m.ServerNames, strings.Repeat("a", i+1))
		m.ApplicationProtocols = append(m.ApplicationProtocols, fmt.Sprint(i))
	}
	if n := len(matchKeys(m, maxMatches, maxMatchBytes)); n != 1 {
		t.Errorf("90000 combinations are %d keys", n)
	}
	m.ApplicationProtocols = m.ApplicationProtocols[:2]
	if n := len(matchKeys(m, maxMatches, maxMatchBytes)); n != 600 {
		t.Errorf("600 combinations are %d keys", n)
	}
	if n := len(matchKeys(m, maxMatches, 600*300)); n != 1 {
		t.Errorf("600 combinations in too few bytes are %d keys", n)
	}
	long := strings.Repeat("x", 1<<20)
	_, _, err := Listener(listenerYAML(t, filtersOf(httpFilterOf(long, "some.Filter", ""))), nil)
	var e *Error
	if !errors.As(err, &e) || len(e.Problems[0].Path)+len(e.Problems[0].Reason) > 2000 {
		t.Error("a long name makes a long problem")
	}
	_, needs, err := Listener(listenerYAML(t, filtersOf(httpFilterOf(long, h+"grpc_web.v3.GrpcWeb", ""))), nil)
	if err != nil || len(needs.Notes[0].What)+len(needs.Notes[0].Path) > 2000 {
		t.Error("a long name makes a long note")
	}
}

// TestDepth: a rule within a rule within a rule … ends before the stack does.
func TestDepth(t *testing.T) {
	rule := &rbacv3.Permission{Rule: &rbacv3.Permission_Any{Any: true}}
	for range 2000 {
		rule = &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: rule}}
	}
	d := newDecoder("listener", nil, nil)
	d.permission(rule)
	if got := reasons(t, d.err()); len(got) != 1 || !strings.HasSuffix(got[0], ": nested too deeply") {
		t.Errorf("got %.200q", got)
	}
}
