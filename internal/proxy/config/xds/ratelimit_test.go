package xds

import (
	"reflect"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func rateLimitOf(fields string) string {
	return filtersOf(httpFilterOf("r", h+"ratelimit.v3.RateLimit", fields))
}

const limitService = "domain: d, rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: rls, authority: a}, initial_metadata: [{key: X-A, value: b}]}}"

func TestRateLimit(t *testing.T) {
	hits := uint64(5)
	for name, c := range map[string]struct {
		fields string
		want   config.RateLimit
	}{
		"the least": {limitService, config.RateLimit{Timeout: 20e6}},
		"all": {limitService + `, stage: 3, request_type: internal, timeout: 0s, failure_mode_deny: true, rate_limited_as_resource_exhausted: true,
			enable_x_ratelimit_headers: DRAFT_VERSION_03, disable_x_envoy_ratelimited_header: true, rate_limited_status: {code: 503}, status_on_error: {code: 502}, stat_prefix: p,
			response_headers_to_add: [{header: {key: X-L, value: "1"}}], filter_enabled: {default_value: {numerator: 1}}, filter_enforced: {default_value: {numerator: 2}},
			failure_mode_deny_percent: {default_value: {numerator: 3}}, metadata_namespace: m, enable_retry_after_header: true,
			rate_limits: [{actions: [{generic_key: {descriptor_value: v}}], hits_addend: {number: 5, is_negative_hits: true}}]`,
			config.RateLimit{
				StatPrefix: "p", Stage: 3, Requests: config.RateLimitInternal, DenyOnFailure: true, DenyFraction: &config.Fraction{PerMillion: 30_000},
				Enabled: &config.Fraction{PerMillion: 10_000}, Enforced: &config.Fraction{PerMillion: 20_000}, Status: 503, StatusOnError: 502, AsResource: true,
				RateHeaders: true, RetryAfter: true, NoLimitedHeader: true, ResponseHeaders: []config.HeaderAdd{{Name: "x-l", Value: &config.Format{Source: "1", Literal: true}}},
				RateLimits: []config.RateLimitActions{{Hits: &hits, Refund: true, Actions: []config.RateLimitAction{{Kind: config.RateGenericKey, Key: "generic_key", Value: "v"}}}},
				Namespace:  "m",
			}},
		"a status below 400": {limitService + ", rate_limited_status: {code: 200}, status_on_error: {code: 204}", config.RateLimit{Timeout: 20e6}},
	} {
		t.Run(name, func(t *testing.T) {
			l, needs, err := Listener(listenerYAML(t, rateLimitOf(c.fields)), nil)
			if err != nil || len(needs.Notes) > 0 {
				t.Fatal(err, notes(needs))
			}
			c.want.Domain, c.want.GRPCCluster, c.want.Authority, c.want.AddHeaders = "d", "rls", "a", [][2]string{{"x-a", "b"}}
			if got := l.Chains[0].HTTP.Filters[0].Config; !reflect.DeepEqual(got, &c.want) {
				t.Errorf("got  %+v\nwant %+v", got, &c.want)
			}
		})
	}
}

func TestRateLimitRefused(t *testing.T) {
	at := firstFilter[:len(firstFilter)-1]
	for name, c := range map[string]struct{ fields, want string }{
		"no domain":       {"rate_limit_service: {grpc_service: {envoy_grpc: {cluster_name: c}}}", at + ".domain (r): empty"},
		"no service":      {"domain: d", at + ".rate_limit_service.grpc_service (r): no envoy_grpc with a cluster name"},
		"google_grpc":     {"domain: d, rate_limit_service: {grpc_service: {google_grpc: {target_uri: a, stat_prefix: b}}}", at + ".rate_limit_service.grpc_service (r): no envoy_grpc with a cluster name"},
		"version 2":       {"domain: d, rate_limit_service: {transport_api_version: V2, grpc_service: {envoy_grpc: {cluster_name: c}}}", at + ".rate_limit_service.transport_api_version (r): not V3"},
		"a broken header": {"domain: d, rate_limit_service: {grpc_service: {envoy_grpc: {cluster_name: c}, initial_metadata: [{key: \"a b\", value: c}]}}", at + `.rate_limit_service.grpc_service.initial_metadata[0] (r): "a b" can't be a header`},
		"request_type":    {limitService + ", request_type: some", at + `.request_type (r): "some" is neither internal, external nor both`},
		"stage":           {limitService + ", stage: 11", at + ".stage (r): above 10"},
		"status":          {limitService + ", status_on_error: {code: 600}", at + ".status_on_error (r): 600 is not a status"},
		"an extension":    {limitService + ", rate_limits: [{actions: [{extension: {name: e}}]}]", at + ".rate_limits[0].actions[0] (r): this kind of action is not supported"},
		"at the end":      {limitService + ", rate_limits: [{actions: [{source_cluster: {}}], apply_on_stream_done: true}]", at + ".rate_limits[0].apply_on_stream_done (r): not supported"},
		"hits by format":  {limitService + ", rate_limits: [{actions: [{source_cluster: {}}], hits_addend: {format: \"%BYTES_RECEIVED%\"}}]", at + ".rate_limits[0].hits_addend.format (r): not supported"},
		"too many hits":   {limitService + ", rate_limits: [{actions: [{source_cluster: {}}], hits_addend: {number: 1000000001}}]", at + ".rate_limits[0].hits_addend.number (r): above 1000000000"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Listener(listenerYAML(t, rateLimitOf(c.fields)), nil)
			expect(t, reasons(t, err), []string{c.want})
		})
	}
}

func TestRateLimitNotes(t *testing.T) {
	_, needs, err := Listener(listenerYAML(t, rateLimitOf(`domain: d, rate_limit_service: {grpc_service: {timeout: 1s, retry_policy: {}, envoy_grpc: {cluster_name: c, skip_envoy_headers: true, max_receive_message_length: 1}}},
		rate_limits: [{stage: 1, disable_key: k, x_ratelimit_option: OFF, actions: [{generic_key: {descriptor_value: v, default_value: w}}]}]`)), nil)
	if err != nil {
		t.Fatal(err)
	}
	in, limit := " at "+firstFilter[:len(firstFilter)-1]+".rate_limit_service.grpc_service (r)", " at "+firstFilter[:len(firstFilter)-1]+".rate_limits[0]"
	expect(t, notes(needs), []string{
		"no effect generic_key.default_value" + limit + ".actions[0] (r)", "no effect x_ratelimit_option" + limit + " (r)",
		"no effect stage" + limit + " (r)", "no effect disable_key" + limit + " (r)",
		"no effect retry_policy" + in, "no effect max_receive_message_length" + in, "no effect skip_envoy_headers" + in, "no effect timeout" + in,
	})
}

// TestRateLimitActions has each kind of action, as it may stand in a route.
func TestRateLimitActions(t *testing.T) {
	table, needs, err := Routes(routesYAML(t, hostOf(`{match: {prefix: /}, route: {cluster: c, rate_limits: [{stage: 2, disable_key: k, limit: {dynamic_metadata: {metadata_key: {key: f, path: [{key: a}, {key: b}]}}}, actions: [
		{source_cluster: {}}, {destination_cluster: {}}, {remote_address: {}}, {masked_remote_address: {}}, {masked_remote_address: {v4_prefix_mask_len: 8, v6_prefix_mask_len: 0}},
		{request_headers: {header_name: X-H, descriptor_key: h, skip_if_absent: true}}, {query_parameters: {query_parameter_name: q, descriptor_key: p, skip_if_absent: true}},
		{generic_key: {descriptor_key: g, descriptor_value: v}}, {header_value_match: {descriptor_value: v, expect_match: false, headers: [{name: a}]}},
		{query_parameter_value_match: {descriptor_value: v, query_parameters: [{name: a, present_match: true}]}},
		{dynamic_metadata: {descriptor_key: d, metadata_key: {key: f, path: [{key: a}]}, default_value: e}},
		{metadata: {descriptor_key: m, metadata_key: {key: f, path: [{key: a}]}, source: ROUTE_ENTRY, skip_if_absent: true}}, {metadata: {descriptor_key: m, metadata_key: {key: f, path: [{key: a}]}, source: CLUSTER_ENTRY}},
	]}]}}`)))
	if err != nil || len(needs.Notes) > 0 {
		t.Fatal(err, notes(needs))
	}
	key := config.MetadataKey{Filter: "f", Path: []string{"a"}}
	want := []config.RateLimitActions{{Stage: 2, Disable: "k", Limit: &config.MetadataKey{Filter: "f", Path: []string{"a", "b"}}, Actions: []config.RateLimitAction{
		{Kind: config.RateSourceCluster}, {Kind: config.RateDestinationCluster}, {Kind: config.RateRemoteAddress},
		{Kind: config.RateMaskedAddress, Bits4: 32, Bits6: 128}, {Kind: config.RateMaskedAddress, Bits4: 8},
		{Kind: config.RateRequestHeader, Key: "h", Header: "x-h", SkipAbsent: true}, {Kind: config.RateQueryParameter, Key: "p", Header: "q", SkipAbsent: true},
		{Kind: config.RateGenericKey, Key: "g", Value: "v"},
		{Kind: config.RateHeaderValueMatch, Key: "header_match", Value: "v", Headers: []config.HeaderMatch{{Name: "a", Present: pointer(true)}}},
		{Kind: config.RateQueryValueMatch, Key: "query_match", Value: "v", Expect: true, Query: []config.QueryMatch{{Name: "a", Present: pointer(true)}}},
		{Kind: config.RateMetadata, Key: "d", Value: "e", Metadata: key},
		{Kind: config.RateMetadata, Key: "m", Metadata: key, Source: config.RateRouteMetadata, SkipAbsent: true},
		{Kind: config.RateMetadata, Key: "m", Metadata: key, Source: config.RateClusterMetadata},
	}}}
	if got := table.VirtualHosts[0].Routes[0].Forward.RateLimits; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for fields, reason := range map[string]string{
		"masked_remote_address: {v4_prefix_mask_len: 33}": "masked_remote_address.v4_prefix_mask_len (v): above 32",
		"metadata: {descriptor_key: m}":                   "metadata.metadata_key (v): no key or no path",
	} {
		_, _, err := Routes(routesYAML(t, hostOf("{match: {prefix: /}, route: {cluster: c, rate_limits: [{actions: [{"+fields+"}]}]}}")))
		expect(t, reasons(t, err), []string{"virtual_hosts[0].routes[0].route.rate_limits[0].actions[0]." + reason})
	}
}

func TestRateLimitOverride(t *testing.T) {
	table, needs, err := Routes(routesYAML(t, hostOf(`{match: {prefix: /}, route: {cluster: c}, typed_per_filter_config: {r: {"@type": type.googleapis.com/`+h+`ratelimit.v3.RateLimitPerRoute, vh_rate_limits: IGNORE, override_option: INCLUDE_POLICY, domain: e, rate_limits: [{actions: [{source_cluster: {}}]}]}}}`)))
	if err != nil {
		t.Fatal(err)
	}
	want := &config.RateLimitRoute{VirtualHost: config.HostLimitsNever, Domain: "e", RateLimits: []config.RateLimitActions{{Actions: []config.RateLimitAction{{}}}}}
	if got := table.VirtualHosts[0].Routes[0].Overrides["r"].Config; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := notes(needs); len(got) != 1 {
		t.Error(got)
	}
}
