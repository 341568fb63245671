package xds

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestNotes has a case for each thing that is accepted and not done as asked for: the columns "no effect" and the rows
// of what is unknown or not built.
func TestNotes(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing to say": {filtersOf(""), nil},
		"listener": {listenerOf("connection_balance_config: {exact_balance: {}}\ntcp_backlog_size: 5\nmax_connections_to_accept_per_socket_event: 1\nfilter_chains: [" + tcpChain + "]"), []string{
			"no effect connection_balance_config at", "no effect tcp_backlog_size at", "no effect max_connections_to_accept_per_socket_event at",
		}},
		"mongo_proxy": {networkOf("m", n+"mongo_proxy.v3.MongoProxy", ""), []string{"degraded m at filter_chains[0].filters[0] (m)"}},
		"network ext_authz": {networkOf("e", n+"ext_authz.v3.ExtAuthz", "stat_prefix: s, grpc_service: {envoy_grpc: {cluster_name: c}}, send_tls_alert_on_denial: true, bootstrap_metadata_labels_key: k, typed_metadata_context_namespaces: [t]"), []string{
			"no effect bootstrap_metadata_labels_key at filter_chains[0].filters[0] (e)", "no effect send_tls_alert_on_denial at filter_chains[0].filters[0] (e)",
			"no effect typed_metadata_context_namespaces at filter_chains[0].filters[0] (e)",
		}},
		"mysql_proxy":      {networkOf("m", n+"mysql_proxy.v3.MySQLProxy", ""), []string{"degraded m at filter_chains[0].filters[0] (m)"}},
		"grpc_stats":       {filtersOf(httpFilterOf("f", h+"grpc_stats.v3.FilterConfig", "replace_dots_in_grpc_service_name: true")), []string{"no effect replace_dots_in_grpc_service_name at " + firstFilter + "(f)"}},
		"health_check":     {filtersOf(httpFilterOf("f", h+"health_check.v3.HealthCheck", "pass_through_mode: true, cluster_min_healthy_percentages: {c: {value: 1}}")), []string{"no effect cluster_min_healthy_percentages at " + firstFilter + "(f)"}},
		"grpc_web":         {filtersOf(httpFilterOf("f", h+"grpc_web.v3.GrpcWeb", "")), []string{"degraded f at " + firstFilter + "(f)"}},
		"compressor":       {filtersOf(httpFilterOf("f", h+"compressor.v3.Compressor", "")), []string{"degraded f at " + firstFilter + "(f)"}},
		"decompressor":     {filtersOf(httpFilterOf("f", h+"decompressor.v3.Decompressor", "")), []string{"degraded f at " + firstFilter + "(f)"}},
		"optional unknown": {filtersOf(`{name: u, is_optional: true, typed_config: {"@type": type.googleapis.com/some.Filter}}, `), []string{"skipped u at " + firstFilter + "(u)"}},
		"optional lua":     {filtersOf(`{name: u, is_optional: true, typed_config: {"@type": type.googleapis.com/` + h + `lua.v3.Lua}}, `), []string{"skipped u at " + firstFilter + "(u)"}},
		"add_user_agent":   {managerOf(emptyRoutes + ", add_user_agent: true, http_filters: [" + routerFilter + "]"), []string{"no effect add_user_agent at filter_chains[0].filters[0] (hcm)"}},
		"sink":             {managerOf(emptyRoutes + `, access_log: [{name: g, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.fluentd.v3.FluentdAccessLogConfig}}], http_filters: [` + routerFilter + "]"), []string{"degraded g at filter_chains[0].filters[0].access_log[0] (g)"}},
		"log filter":       {managerOf(emptyRoutes + `, access_log: [{name: g, filter: {log_type_filter: {}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}], http_filters: [` + routerFilter + "]"), []string{"degraded filter at filter_chains[0].filters[0].access_log[0].filter (g)"}},
		"tracing provider": {managerOf(emptyRoutes + `, tracing: {verbose: true, provider: {name: envoy.tracers.datadog}}, http_filters: [` + routerFilter + "]"), []string{
			"no effect verbose at filter_chains[0].filters[0].tracing (hcm)", "degraded envoy.tracers.datadog at filter_chains[0].filters[0].tracing.provider (hcm)",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, needs, err := Listener(listenerYAML(t, c.text), nil)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, notes(needs), c.want)
		})
	}
}

// wasmOf is a filter that fails open by the older or the newer field, as a TypedStruct, because its message isn't linked.
func wasmOf(fields string) string {
	return `{name: w, typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/` + h + `wasm.v3.Wasm, value: {config: {name: p, ` + fields + `}}}}, `
}

func TestWasmFailsOpen(t *testing.T) {
	for fields, skipped := range map[string]bool{
		"fail_open: true": true, "failOpen: true": true, "failure_policy: FAIL_OPEN": true, "failure_policy: 3": true,
		"fail_open: false": false, "failure_policy: FAIL_CLOSED": false, "": false, "fail_open: 7": false,
	} {
		_, needs, err := Listener(listenerYAML(t, filtersOf(wasmOf(fields))), nil)
		if (err == nil) != skipped || skipped && len(notes(needs)) != 1 {
			t.Errorf("%q: %v, %v", fields, err, notes(needs))
		}
	}
	late := strings.TrimSuffix(wasmOf("fail_open: true"), ", ")
	f, needs, err := Extension(extensionYAML(t, late), nil)
	if err != nil || f.Name != "w" || f.Config != nil || len(notes(needs)) != 1 {
		t.Errorf("by ECDS: %+v, %v, %v", f, notes(needs), err)
	}
	// Wasm{config: PluginConfig{fail_open: true}}, then failure_policy: FAIL_OPEN.
	for _, raw := range []string{"\x0a\x02\x28\x01", "\x0a\x02\x38\x03"} {
		d := newDecoder("listener", nil, nil)
		if !d.wasmFailsOpen(typed{raw: []byte(raw)}) {
			t.Errorf("%x isn't understood", raw)
		}
	}
}

func TestRouteNotes(t *testing.T) {
	const at = "virtual_hosts[0].routes[0]"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"hedge_policy":       {hostOf("{match: {prefix: /}, route: {cluster: c, hedge_policy: {}}}"), []string{"no effect hedge_policy at " + at + ".route (v)"}},
		"internal redirects": {hostOf("{match: {prefix: /}, route: {cluster: c, internal_redirect_policy: {}}}"), []string{"no effect internal_redirect_policy at " + at + ".route (v)"}},
		"rate_limits": {hostOf("{match: {prefix: /}, route: {cluster: c, rate_limits: [{actions: [{remote_address: {}}]}, {actions: [{extension: {}}]}, {apply_on_stream_done: true}, {hits_addend: {number: 2}, x_ratelimit_option: OFF}]}}"), []string{
			"degraded actions at " + at + ".route.rate_limits[1] (v)", "degraded apply_on_stream_done at " + at + ".route.rate_limits[2] (v)",
			"no effect hits_addend at " + at + ".route.rate_limits[3] (v)", "no effect x_ratelimit_option at " + at + ".route.rate_limits[3] (v)",
		}},
		"retry_priority":    {hostOf("{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_priority: {name: p}}}}"), []string{"degraded p at " + at + ".route.retry_policy.retry_priority (p)"}},
		"unknown condition": {hostOf("{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_on: http3-post-connect-failure}}}"), []string{"no effect http3-post-connect-failure at " + at + ".route.retry_policy.retry_on (v)"}},
		"optional override": {hostOf(`{match: {prefix: /}, route: {cluster: c}, typed_per_filter_config: {x: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, is_optional: true, config: {"@type": type.googleapis.com/some.Filter}}}}`), []string{"skipped x at " + at + ".typed_per_filter_config (x)"}},
		"compression":       {hostOf(`{match: {prefix: /}, route: {cluster: c}, typed_per_filter_config: {x: {"@type": type.googleapis.com/` + h + `compressor.v3.CompressorPerRoute}}}`), []string{"degraded x at " + at + ".typed_per_filter_config (x)"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, needs, err := Routes(routesYAML(t, c.text))
			if err != nil {
				t.Fatal(err)
			}
			expect(t, notes(needs), c.want)
		})
	}
}

func TestClusterNotes(t *testing.T) {
	_, needs, err := Cluster(clusterYAML(t, clusterOf("track_timeout_budgets: true\npreconnect_policy: {}\ncommon_lb_config: {close_connections_on_host_set_change: true}")), nil)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, notes(needs), []string{"no effect close_connections_on_host_set_change at common_lb_config", "no effect track_timeout_budgets at", "no effect preconnect_policy at"})
}

// TestPolicyList takes the first known entry of load_balancing_policy.
func TestPolicyList(t *testing.T) {
	list := func(entries ...string) string {
		return clusterOf("load_balancing_policy: {policies: [" + strings.Join(entries, ", ") + "]}")
	}
	entry := func(message, fields string) string {
		return `{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/` + message + `, ` + fields + `}}}`
	}
	unknown := entry("some.Policy", "")
	for name, c := range map[string]struct {
		text string
		want func(config.LB) bool
	}{
		"round robin": {list(unknown, entry(lbRoundRobin, ""), entry(lbRandom, "")), func(l config.LB) bool { return l.Policy == config.LBRoundRobin }},
		"least request": {list(entry(lbLeastRequest, "choice_count: 3, slow_start_config: {slow_start_window: 9s}, locality_lb_config: {locality_weighted_lb_config: {}}")), func(l config.LB) bool {
			return l.Policy == config.LBLeastRequest && l.Choices == 3 && l.SlowStart == 9e9 && l.LocalityWeighted
		}},
		"random": {list(entry(lbRandom, "")), func(l config.LB) bool { return l.Policy == config.LBRandom }},
		"ring hash": {list(entry(lbRingHash, "minimum_ring_size: 5, consistent_hashing_lb_config: {use_hostname_for_hashing: true, hash_balance_factor: 120}")), func(l config.LB) bool {
			return l.Policy == config.LBRingHash && l.RingMin == 5 && l.HashHostname && l.BalanceFactor == 120
		}},
		"maglev": {list(entry(lbMaglev, "table_size: 11")), func(l config.LB) bool { return l.Policy == config.LBMaglev && l.TableSize == 11 }},
	} {
		t.Run(name, func(t *testing.T) {
			v, _, err := Cluster(clusterYAML(t, c.text), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !c.want(v.LB) {
				t.Errorf("got %+v", v.LB)
			}
		})
	}
}

// TestFilters has what each HTTP and network filter decodes to.
func TestFilters(t *testing.T) {
	for name, c := range map[string]struct {
		filter string
		want   any
	}{
		"rbac": {httpFilterOf("f", h+"rbac.v3.RBAC", `rules: {action: DENY, policies: {b: {permissions: [{destination_port: 8080}, {destination_port_range: {start: 1, end: 5}}], principals: [{any: true}]}, a: {permissions: [{not_rule: {requested_server_name: {suffix: .x}}}], principals: [{authenticated: {}}]}}}`), &config.RBAC{
			Rules: &config.RBACRules{Action: config.RBACDeny, Policies: []config.RBACPolicy{
				{
					Name:        "a",
					Permissions: []*config.Rule{{Kind: config.RuleNot, Rules: []*config.Rule{{Kind: config.RuleServerName, String: &config.StringMatch{Kind: config.StringSuffix, Value: ".x"}}}}},
					Principals:  []*config.Rule{{Kind: config.RuleAuthenticated}},
				},
				{
					Name: "b",
					Permissions: []*config.Rule{
						{Kind: config.RuleDestinationPort, Ports: config.PortRange{Start: 8080, End: 8081}},
						{Kind: config.RuleDestinationPortRange, Ports: config.PortRange{Start: 1, End: 5}},
					},
					Principals: []*config.Rule{{Kind: config.RuleAny}},
				},
			}},
		}},
		"rbac without rules": {httpFilterOf("f", h+"rbac.v3.RBAC", ""), &config.RBAC{}},
		"fault": {httpFilterOf("f", h+"fault.v3.HTTPFault", "delay: {fixed_delay: 2s, percentage: {numerator: 7, denominator: TEN_THOUSAND}}, abort: {grpc_status: 14, percentage: {numerator: 500}}, max_active_faults: 0, response_rate_limit: {fixed_limit: {limit_kbps: 9}, percentage: {numerator: 1}}"), &config.Fault{
			Delay: 2e9, DelayPerMillion: 700, AbortGRPC: pointer(uint32(14)), AbortPerMillion: 1_000_000, MaxActive: pointer(uint32(0)), RatePerMillion: 10_000, RateKBps: 9,
		}},
		"cors": {httpFilterOf("f", h+"cors.v3.Cors", ""), &config.CORS{}},
		"local_ratelimit": {httpFilterOf("f", h+"local_ratelimit.v3.LocalRateLimit", `stat_prefix: s, status: {code: 503}, token_bucket: {max_tokens: 3, tokens_per_fill: 2, fill_interval: 1s}, filter_enabled: {runtime_key: k, default_value: {numerator: 50}}, response_headers_to_add: [{header: {key: X-L, value: "1"}, append_action: ADD_IF_ABSENT}], descriptors: [{entries: [{key: a, value: b}], token_bucket: {max_tokens: 1, fill_interval: 60s}}], rate_limits: [{actions: [{request_headers: {header_name: X-A, descriptor_key: a, skip_if_absent: true}}, {generic_key: {descriptor_value: g}}]}]`), &config.LocalRateLimit{
			StatPrefix: "s", Status: 503, Bucket: config.TokenBucket{Max: 3, PerFill: 2, Interval: 1e9}, Enabled: &config.Fraction{Key: "k", PerMillion: 500_000},
			ResponseHeaders: []config.HeaderAdd{{Name: "x-l", Value: &config.Format{Source: "1", Literal: true}, Action: config.AddIfAbsent}},
			Descriptors:     []config.RateDescriptor{{Entries: [][2]string{{"a", "b"}}, Bucket: config.TokenBucket{Max: 1, PerFill: 1, Interval: 60e9}}},
			RateLimits: []config.RateLimitActions{{Actions: []config.RateLimitAction{
				{Kind: config.RateRequestHeader, Key: "a", Header: "x-a", SkipAbsent: true}, {Kind: config.RateGenericKey, Key: "generic_key", Value: "g"},
			}}},
		}},
		"jwt": {httpFilterOf("f", h+"jwt_authn.v3.JwtAuthentication", `providers: {p: {issuer: i, audiences: [a], local_jwks: {inline_string: "{}"}, forward: true, from_headers: [{name: X-Jwt, value_prefix: "B "}], payload_in_metadata: m}}, rules: [{match: {prefix: /}, requires: {requires_any: {requirements: [{provider_name: p}, {allow_missing: {}}]}}}]`), &config.JWT{
			Providers: map[string]*config.JWTProvider{"p": {
				Name: "p", Issuer: "i", Audiences: []string{"a"}, Inline: "{}", Forward: true, FromHeaders: [][2]string{{"x-jwt", "B "}}, PayloadMetadata: "m", Skew: 60e9,
			}},
			Requirements: map[string]*config.JWTRequirement{},
			Rules: []config.JWTRule{{
				Match:       config.RouteMatch{Path: "/"},
				Requirement: &config.JWTRequirement{Any: []*config.JWTRequirement{{Provider: "p"}, {AllowMissing: true}}},
			}},
		}},
		"ext_authz": {httpFilterOf("f", h+"ext_authz.v3.ExtAuthz", `grpc_service: {envoy_grpc: {cluster_name: a}, timeout: 1s}, failure_mode_allow: true, with_request_body: {max_request_bytes: 9, allow_partial_message: true}, status_on_error: {code: 503}`), &config.ExtAuthz{
			GRPCCluster: "a", Timeout: 1e9, FailureAllow: true, MaxRequestBytes: 9, AllowPartial: true, StatusOnError: 503,
		}},
		"ext_authz http": {httpFilterOf("f", h+"ext_authz.v3.ExtAuthz", `http_service: {server_uri: {uri: "http://a", cluster: a, timeout: 1s}, path_prefix: /check, authorization_request: {headers_to_add: [{key: X-A, value: b}]}, authorization_response: {allowed_upstream_headers: {patterns: [{exact: X-U, ignore_case: true}]}}}`), &config.ExtAuthz{
			HTTPCluster: "a", HTTPURI: "http://a", PathPrefix: "/check", Timeout: 1e9, AddHeaders: [][2]string{{"x-a", "b"}},
			UpstreamHeaders: []config.StringMatch{{Value: "x-u", IgnoreCase: true}},
		}},
		"health_check": {httpFilterOf("f", h+"health_check.v3.HealthCheck", `pass_through_mode: false, cluster_min_healthy_percentages: {b: {value: 12.5}, a: {value: 100}}, headers: [{name: ":path", string_match: {exact: /h}}]`), &config.HealthCheckFilter{
			Clusters: []config.ClusterHealth{{Name: "a", Percent: 100}, {Name: "b", Percent: 12}}, Headers: []config.HeaderMatch{{Name: ":path", Value: &config.StringMatch{Value: "/h"}}},
		}},
		"health_check through": {httpFilterOf("f", h+"health_check.v3.HealthCheck", `pass_through_mode: true, cache_time: 2s`), &config.HealthCheckFilter{PassThrough: true, CacheTime: 2e9}},
		"grpc_stats":           {httpFilterOf("f", h+"grpc_stats.v3.FilterConfig", "emit_filter_state: true, stats_for_all_methods: false"), &config.GRPCStats{FilterState: true}},
		"grpc_stats all":       {httpFilterOf("f", h+"grpc_stats.v3.FilterConfig", "stats_for_all_methods: true, enable_upstream_stats: true, replace_dots_in_grpc_service_name: true"), &config.GRPCStats{All: true, Times: true, ReplaceDots: true}},
		"grpc_stats some":      {httpFilterOf("f", h+"grpc_stats.v3.FilterConfig", "individual_method_stats_allowlist: {services: [{name: a.B, method_names: [C, D]}]}"), &config.GRPCStats{Methods: map[string]bool{"/a.B/C": true, "/a.B/D": true}}},
		"istio.stats": {`{name: f, typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/stats.PluginConfig, value: {disable_host_header_fallback: true, tcp_reporting_duration: 15s, reporter: SERVER_GATEWAY, metrics: [{name: requests_total, dimensions: {host: request.host}, tags_to_remove: [a], drop: true}]}}}, `, &config.IstioStats{
			DisableHostFallback: true, ReportDuration: 15e9, Reporter: 1,
			Metrics: []config.MetricOverride{{Name: "requests_total", Labels: map[string]*config.Format{"host": {Source: "request.host"}}, Remove: []string{"a"}, Drop: true}},
		}},
		"xds TypedStruct": {`{name: f, typed_config: {"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/` + h + `fault.v3.HTTPFault, value: {maxActiveFaults: 3}}}, `, &config.Fault{MaxActive: pointer(uint32(3))}},
	} {
		t.Run(name, func(t *testing.T) {
			l, _, err := Listener(listenerYAML(t, filtersOf(c.filter)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Chains[0].HTTP.Filters[0]; !reflect.DeepEqual(got.Config, c.want) {
				t.Errorf("got  %+v\nwant %+v", got.Config, c.want)
			}
		})
	}
}

func pointer[T any](v T) *T { return &v }

func TestNetworkFilters(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want any
	}{
		"rbac":             {networkOf("f", n+"rbac.v3.RBAC", "stat_prefix: tcp., rules: {policies: {p: {permissions: [{any: true}], principals: [{direct_remote_ip: {address_prefix: '::ffff:10.0.0.0', prefix_len: 104}}]}}}"), "10.0.0.0/8"},
		"local_ratelimit":  {networkOf("f", n+"local_ratelimit.v3.LocalRateLimit", "stat_prefix: s, token_bucket: {max_tokens: 1, fill_interval: 1s}"), uint32(1)},
		"connection_limit": {networkOf("f", n+"connection_limit.v3.ConnectionLimit", "stat_prefix: s, max_connections: 5, delay: 1s"), uint64(5)},
	} {
		t.Run(name, func(t *testing.T) {
			l, _, err := Listener(listenerYAML(t, c.text), nil)
			if err != nil {
				t.Fatal(err)
			}
			var got any
			switch f := l.Chains[0].Filters[0].Config.(type) {
			case *config.RBAC:
				got = f.Rules.Policies[0].Principals[0].Prefix.String()
			case *config.LocalRateLimit:
				got = f.Bucket.Max
			case *config.ConnectionLimit:
				got = f.Max
			}
			if got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestOverrides(t *testing.T) {
	override := func(config string) string {
		return hostOf(`{match: {prefix: /}, route: {cluster: c}, typed_per_filter_config: {f: ` + config + `}}`)
	}
	for name, c := range map[string]struct {
		text string
		want config.Override
	}{
		"disabled":      {override(`{"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}`), config.Override{Disabled: true}},
		"enabled":       {override(`{"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}}`), config.Override{}},
		"rbac off":      {override(`{"@type": type.googleapis.com/` + h + `rbac.v3.RBACPerRoute}`), config.Override{Disabled: true}},
		"rbac":          {override(`{"@type": type.googleapis.com/` + h + `rbac.v3.RBACPerRoute, rbac: {}}`), config.Override{Config: &config.RBAC{}}},
		"cors":          {override(`{"@type": type.googleapis.com/` + h + `cors.v3.CorsPolicy, allow_methods: GET}`), config.Override{Config: &config.CORS{Methods: "GET"}}},
		"jwt":           {override(`{"@type": type.googleapis.com/` + h + `jwt_authn.v3.PerRouteConfig, requirement_name: r}`), config.Override{Config: &config.JWTRoute{Requirement: "r"}}},
		"jwt off":       {override(`{"@type": type.googleapis.com/` + h + `jwt_authn.v3.PerRouteConfig, disabled: true}`), config.Override{Disabled: true}},
		"ext_authz":     {override(`{"@type": type.googleapis.com/` + h + `ext_authz.v3.ExtAuthzPerRoute, check_settings: {context_extensions: {a: b}, disable_request_body_buffering: true}}`), config.Override{Config: &config.ExtAuthz{ContextExtras: map[string]string{"a": "b"}, DisableBody: true}}},
		"ext_authz off": {override(`{"@type": type.googleapis.com/` + h + `ext_authz.v3.ExtAuthzPerRoute, disabled: true}`), config.Override{Disabled: true}},
	} {
		t.Run(name, func(t *testing.T) {
			v, _, err := Routes(routesYAML(t, c.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := v.VirtualHosts[0].Routes[0].Overrides["f"]; !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestLateFilter: a filter that comes by ECDS is needed by name, with its default.
func TestLateFilter(t *testing.T) {
	text := filtersOf(`{name: late, config_discovery: {config_source: {ads: {}, initial_fetch_timeout: 0s}, type_urls: [type.googleapis.com/` + h + `fault.v3.HTTPFault], default_config: {"@type": type.googleapis.com/` + h + `fault.v3.HTTPFault}}}, `)
	cells := &keeper{}
	l, needs, err := Listener(listenerYAML(t, text), cells)
	if err != nil {
		t.Fatal(err)
	}
	ref := needs.Extensions[0]
	if ref.Name != "late" || !ref.Source.ADS || ref.Source.FetchTimeout != 0 || ref.Default.Config.(*config.Fault) == nil || ref.ServeDefault {
		t.Errorf("needs %+v", ref)
	}
	if l.Chains[0].HTTP.Filters[0].Late != cells.filter || cells.filter == nil {
		t.Error("the filter isn't in the cell of that name")
	}
	f, _, err := Extension(extensionYAML(t, `{name: late, typed_config: {"@type": type.googleapis.com/`+h+`fault.v3.HTTPFault, max_active_faults: 1}}`), nil)
	if err != nil || f.Name != "late" || *f.Config.(*config.Fault).MaxActive != 1 {
		t.Errorf("got %+v, %v", f, err)
	}
	_, _, err = Extension(extensionYAML(t, `{name: late, typed_config: {"@type": type.googleapis.com/`+h+`lua.v3.Lua}}`), nil)
	if err == nil || err.Error() != `extension "late": typed_config (late): not supported` {
		t.Error(err)
	}
}

// keeper remembers the cell it supplied.
type keeper struct {
	Fresh
	filter *config.Cell[config.HTTPFilter]
}

func (k *keeper) Filter(name string) *config.Cell[config.HTTPFilter] {
	if name == "late" {
		k.filter = config.NewCell[config.HTTPFilter](nil)
	}
	return k.filter
}

// TestListenerKinds has the fields of listeners that the istiod files don't have.
func TestListenerKinds(t *testing.T) {
	text := listenerOf("use_original_dst: true\ntransparent: true\nstat_prefix: sp\nper_connection_buffer_limit_bytes: 9\nfilter_chains: [{filter_chain_match: {source_type: EXTERNAL, source_ports: [5], direct_source_prefix_ranges: [{address_prefix: 1.2.3.4, prefix_len: 24}], server_names: ['*.A.b']}, " + tcpChain[1:] + "]")
	l, _, err := Listener(listenerYAML(t, text), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := l.Chains[0].Match
	if !l.HandOff || !l.Transparent || !l.Bind || l.StatPrefix != "sp" || l.BufferLimit != 9 || l.InspectTimeout != defaultInspectTimeout {
		t.Errorf("got %+v", l)
	}
	if m.SourceType != config.ExternalSource || m.SourcePorts[0] != 5 || m.DirectSources[0].String() != "1.2.3.0/24" || m.ServerNames[0] != "*.a.b" {
		t.Errorf("got %+v", m)
	}
}

func TestManagerDefaults(t *testing.T) {
	l, _, err := Listener(listenerYAML(t, filtersOf("")), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := l.Chains[0].HTTP
	if m.IdleTimeout.Hours() != 1 || m.StreamIdleTimeout.Minutes() != 5 || m.RequestHeadersTimeout.Minutes() != 1 || m.RequestTimeout != 0 ||
		m.MaxHeadBytes != 60<<10 || m.MaxHeaders != 100 || !m.GenerateRequestID || m.ServerName != "envoy" || m.DrainTimeout.Seconds() != 5 {
		t.Errorf("got %+v", m)
	}
}

func TestRouteDefaults(t *testing.T) {
	v, _, err := Routes(routesYAML(t, hostOf("{match: {prefix: /}, route: {cluster: c, retry_policy: {}}}, {match: {path: /A, case_sensitive: false}, route: {cluster: c, timeout: 0s}}")))
	if err != nil {
		t.Fatal(err)
	}
	r := v.VirtualHosts[0].Routes
	if f := r[0].Forward; f.Timeout.Seconds() != 15 || f.IdleTimeout != nil || f.Retry.Retries != 1 || f.NotFoundCode != 503 {
		t.Errorf("got %+v", f)
	}
	if r[1].Forward.Timeout != 0 || !r[1].Match.IgnoreCase || r[1].Match.Path != "/a" {
		t.Errorf("got %+v", r[1])
	}
}

func TestTemplate(t *testing.T) {
	for template, paths := range map[string][2]string{
		"/a/{x}/b":     {"/a/1/b", "/a/1/2/b"},
		"/a/{x=v*}/**": {"/a/v1/2/3", "/a/w/2"},
		"/a/*/c.d":     {"/a/b/c.d", "/a/b/cxd"},
		"/{a=**}":      {"/x/y", "x"},
	} {
		text := hostOf(`{match: {path_match_policy: {name: t, typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/` + uriTemplateMatch + `, value: {path_template: "` + template + `"}}}}, route: {cluster: c}}`)
		v, _, err := Routes(routesYAML(t, text))
		if err != nil {
			t.Fatal(err)
		}
		r := v.VirtualHosts[0].Routes[0].Match.Regex
		if !r.Match(paths[0]) || r.Match(paths[1]) {
			t.Errorf("%s: %s matches %s: %v, %s: %v", template, r.Source, paths[0], r.Match(paths[0]), paths[1], r.Match(paths[1]))
		}
	}
	for _, template := range []string{"a", "/{a", "/{a}{a}", "/}", "/{a}/{b}/{c}/{d}/{e}/{f}"} {
		d := newDecoder("route", nil, nil)
		if d.templateRegex(template); d.err() == nil {
			t.Errorf("%s is taken", template)
		}
	}
}

// TestUnknownFields counts what a newer Envoy sends, by message.
func TestUnknownFields(t *testing.T) {
	raw := append(clusterYAML(t, clusterOf("")), 0xba, 0xfa, 0x01, 0x01, 'x') // field 4007
	_, needs, err := Cluster(raw, nil)
	if err != nil || needs.Unknown["envoy.config.cluster.v3.Cluster"] != 1 {
		t.Errorf("got %v, %v", needs.Unknown, err)
	}
}

// TestAuthzContext: what an authorization service is told, and what not.
func TestAuthzContext(t *testing.T) {
	l, needs, err := Listener(listenerYAML(t, filtersOf(httpFilterOf("f", h+"ext_authz.v3.ExtAuthz", `grpc_service: {envoy_grpc: {cluster_name: a}},
		disallowed_headers: {patterns: [{exact: x}]}, metadata_context_namespaces: [m], route_metadata_context_namespaces: [r]`))), nil)
	if err != nil || len(notes(needs)) > 0 {
		t.Fatal(err, notes(needs))
	}
	got := l.Chains[0].HTTP.Filters[0].Config.(*config.ExtAuthz)
	if len(got.HiddenHeaders) != 1 || !got.HiddenHeaders[0].Match("x") || !reflect.DeepEqual([][]string{got.Metadata, got.RouteMetadata}, [][]string{{"m"}, {"r"}}) {
		t.Errorf("%+v", got)
	}
}
