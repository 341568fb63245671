package xds

import (
	"reflect"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// tracingOf is the tracing of a manager that has it as YAML.
func tracingOf(t *testing.T, text string) (*config.Tracing, []string, error) {
	t.Helper()
	l, needs, err := Listener(listenerYAML(t, managerOf(emptyRoutes+", tracing: {"+text+"}, http_filters: ["+routerFilter+"]")), nil)
	if err != nil {
		return nil, nil, err
	}
	return l.Chains[0].HTTP.Tracing, notes(needs), nil
}

const trace = `"@type": type.googleapis.com/envoy.config.trace.v3.`

func TestTraceProviders(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want config.TraceProvider
	}{
		"OpenTelemetry over gRPC": {trace + `OpenTelemetryConfig, service_name: shop, max_cache_size: 9,
			resource_detectors: [{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig}}],
			grpc_service: {timeout: 2s, initial_metadata: [{key: X-A, value: b}], envoy_grpc: {cluster_name: otel, authority: otel.ns}}`,
			config.TraceProvider{Service: "shop", Cluster: "otel", GRPC: true, Authority: "otel.ns", Timeout: 2 * time.Second, Headers: [][2]string{{"x-a", "b"}}, MaxSpans: 9, Environment: true}},
		"OpenTelemetry over HTTP": {trace + `OpenTelemetryConfig, http_service: {http_uri: {cluster: otel, uri: "http://otel.ns:4318/v1/traces?x=1", timeout: 1s},
			request_headers_to_add: [{header: {key: A, value: b}}]}`,
			config.TraceProvider{Cluster: "otel", Authority: "otel.ns:4318", Path: "/v1/traces?x=1", Timeout: time.Second, Headers: [][2]string{{"a", "b"}}}},
		"Zipkin": {trace + `ZipkinConfig, collector_cluster: z, collector_endpoint: /api/v2/spans, collector_hostname: zip.ns, trace_id_128bit: true,
			shared_span_context: false, collector_endpoint_version: HTTP_JSON, trace_context_option: USE_B3_WITH_W3C_PROPAGATION`,
			config.TraceProvider{Kind: config.Zipkin, Cluster: "z", Path: "/api/v2/spans", Authority: "zip.ns", LongIDs: true, Unshared: true, W3C: true}},
	} {
		got, noted, err := tracingOf(t, "provider: {name: p, typed_config: {"+c.text+"}}")
		if err != nil || noted != nil || got.Provider == nil || !reflect.DeepEqual(*got.Provider, c.want) {
			t.Errorf("%s: %+v, %v, %v", name, got, noted, err)
		}
		b, err := Bootstrap([]byte("{node: {id: n}, tracing: {http: {name: p, typed_config: {" + c.text + "}}}}"))
		if err != nil || b.Tracing == nil || !reflect.DeepEqual(*b.Tracing, c.want) {
			t.Errorf("%s in a bootstrap: %+v, %v", name, b, err)
		}
	}
}

// TestTraceDegraded: what isn't built costs spans, not the listener.
func TestTraceDegraded(t *testing.T) {
	const at = " at filter_chains[0].filters[0].tracing"
	for text, want := range map[string][]string{
		"provider: {name: p, typed_config: {" + trace + "ZipkinConfig, collector_cluster: z, collector_endpoint: /z, collector_endpoint_version: HTTP_PROTO}}": {
			"degraded collector_endpoint_version HTTP_PROTO" + at + ".provider (hcm)", "degraded p" + at + ".provider (hcm)"},
		"provider: {name: p, typed_config: {" + trace + "OpenTelemetryConfig}}": {"degraded p" + at + ".provider (hcm)"},
		"custom_tags: [{tag: a}]": {"degraded a" + at + ".custom_tags[0] (hcm)"},
	} {
		if got, noted, err := tracingOf(t, text); err != nil || got.Provider != nil || !reflect.DeepEqual(noted, want) {
			t.Errorf("%s: %v, %v", text, noted, err)
		}
	}
}

func TestTraceTags(t *testing.T) {
	got, noted, err := tracingOf(t, `random_sampling: {value: 12.5}, spawn_upstream_span: true, operation: "%REQ(:PATH)%", custom_tags: [
		{tag: a, literal: {value: "50%"}}, {tag: b, request_header: {name: x-b, default_value: none}}, {tag: c, environment: {name: C}},
		{tag: d, metadata: {kind: {route: {}}, metadata_key: {key: k, path: [{key: l}]}}}, {tag: e, value: "%PROTOCOL%"}, {tag: a, literal: {value: last}}]`)
	if err != nil || noted != nil {
		t.Fatal(noted, err)
	}
	if got.Random != 125_000 || got.Overall != 1_000_000 || !got.Spawn || got.MaxPathTag != 256 || got.Operation.Source != "%REQ(:PATH)%" {
		t.Errorf("%+v", got)
	}
	want := map[string]string{"a": "last", "b": "%REQ(x-b)%", "c": "%ENVIRONMENT(C)%", "d": "%METADATA(ROUTE:k:l)%", "e": "%PROTOCOL%"}
	for _, tag := range got.Tags {
		if tag.Value.Source != want[tag.Name] || !tag.Value.OmitEmpty || (tag.Missing != "") != (tag.Name == "b") {
			t.Errorf("tag %+v", tag)
		}
		delete(want, tag.Name)
	}
	if len(want) > 0 {
		t.Errorf("left out: %v", want)
	}
	if _, _, err := tracingOf(t, `custom_tags: [{tag: a, value: "%NONSENSE%"}]`); err == nil {
		t.Error("an unknown operator is taken")
	}
}
