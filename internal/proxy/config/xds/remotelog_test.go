package xds

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// logOf is the access log of a manager that has it as YAML.
func logOf(t *testing.T, kind, text string) (*config.AccessLog, []string, error) {
	t.Helper()
	l, needs, err := Listener(listenerYAML(t, managerOf(emptyRoutes+`, access_log: [{name: g, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.`+kind+`, `+text+`}}], http_filters: [`+routerFilter+"]")), nil)
	if err != nil || len(l.Chains[0].HTTP.AccessLogs) == 0 {
		return nil, notes(needs), err
	}
	return l.Chains[0].HTTP.AccessLogs[0], notes(needs), nil
}

const (
	httpLog = "grpc.v3.HttpGrpcAccessLogConfig"
	tcpLog  = "grpc.v3.TcpGrpcAccessLogConfig"
	otelLog = "open_telemetry.v3.OpenTelemetryAccessLogConfig"
)

func TestRemoteLogs(t *testing.T) {
	for name, c := range map[string]struct {
		kind, text string
		want       config.RemoteLog
	}{
		"HTTP": {httpLog, `additional_request_headers_to_log: [X-A], additional_response_headers_to_log: [X-B], additional_response_trailers_to_log: [X-C], common_config: {
			log_name: l, transport_api_version: V3, buffer_flush_interval: 2s, buffer_size_bytes: 0, filter_state_objects_to_log: [k], custom_tags: [{tag: t, literal: {value: v}}],
			grpc_service: {timeout: 3s, initial_metadata: [{key: X-T, value: t}], envoy_grpc: {cluster_name: c, authority: a}}}`,
			config.RemoteLog{Kind: config.HTTPLog, Collector: config.Collector{Cluster: "c", GRPC: true, Authority: "a", Timeout: 3 * time.Second, Headers: [][2]string{{"x-t", "t"}}}, Name: "l", Flush: 2 * time.Second,
				RequestHeaders: []string{"x-a"}, ResponseHeaders: []string{"x-b"}, ResponseTrailers: []string{"x-c"}, FilterState: []string{"k"},
				Tags: []config.TraceTag{{Name: "t", Value: config.Format{Source: "v", Literal: true, OmitEmpty: true}}}}},
		"TCP": {tcpLog, `common_config: {log_name: l, grpc_service: {envoy_grpc: {cluster_name: c}}}`,
			config.RemoteLog{Kind: config.TCPLog, Collector: config.Collector{Cluster: "c", GRPC: true}, Name: "l", Flush: time.Second, Buffer: 16384}},
		"OpenTelemetry": {otelLog, `common_config: {log_name: l, grpc_service: {envoy_grpc: {cluster_name: c}}}, disable_builtin_labels: true, stat_prefix: s,
			body: {string_value: "%PROTOCOL%"}, resource_attributes: {values: [{key: r, value: {string_value: "100%"}}]},
			attributes: {values: [{key: a, value: {int_value: 7}}, {key: b, value: {kvlist_value: {values: [{key: c, value: {array_value: {values: [{string_value: d}]}}}]}}}]}`,
			config.RemoteLog{Kind: config.OTelLog, Collector: config.Collector{Cluster: "c", GRPC: true}, Name: "l", Flush: time.Second, Buffer: 16384, NoLabels: true, StatPrefix: "s",
				Body: &config.LogValue{Text: "%PROTOCOL%"}, Resource: []config.LogField{{Key: "r", Value: config.LogValue{Raw: []byte("\x0a\x04100%")}}},
				Attributes: []config.LogField{{Key: "a", Value: config.LogValue{Raw: []byte("\x18\x07")}}, {Key: "b", Value: config.LogValue{IsObject: true, Fields: []config.LogField{
					{Key: "c", Value: config.LogValue{IsList: true, List: []config.LogValue{{Text: "d"}}}}}}}}}},
		"newer OpenTelemetry": {otelLog, `log_name: l, buffer_size_bytes: 9, grpc_service: {envoy_grpc: {cluster_name: c}}, filter_state_objects_to_log: [k]`,
			config.RemoteLog{Kind: config.OTelLog, Collector: config.Collector{Cluster: "c", GRPC: true}, Name: "l", Flush: time.Second, Buffer: 9, FilterState: []string{"k"}, Attributes: []config.LogField{}, Resource: []config.LogField{}}},
		"OpenTelemetry over HTTP": {otelLog, `http_service: {http_uri: {cluster: c, uri: "http://o:4318", timeout: 1s}}`,
			config.RemoteLog{Kind: config.OTelLog, Collector: config.Collector{Cluster: "c", Authority: "o:4318", Path: "/v1/logs", Timeout: time.Second}, Flush: time.Second, Buffer: 16384, Attributes: []config.LogField{}, Resource: []config.LogField{}}},
	} {
		got, noted, err := logOf(t, c.kind, c.text)
		if err != nil || noted != nil || got == nil || !reflect.DeepEqual(*got.Remote, c.want) {
			t.Errorf("%s: %+v, %v, %v", name, got, noted, err)
		}
	}
}

// TestRemoteLogsRefused: what can't be done is refused or noted, by its name.
func TestRemoteLogsRefused(t *testing.T) {
	const service = "grpc_service: {envoy_grpc: {cluster_name: c}}"
	for name, c := range map[string]struct{ kind, text, refused, noted string }{
		"no name":       {httpLog, "common_config: {" + service + "}", "common_config.log_name (g): empty", ""},
		"API v2":        {tcpLog, "common_config: {log_name: l, transport_api_version: V2, " + service + "}", "common_config.transport_api_version (g): V2 is not supported", ""},
		"no interval":   {httpLog, "common_config: {log_name: l, buffer_flush_interval: 0s, " + service + "}", "buffer_flush_interval (g): not above 0", ""},
		"wrong body":    {otelLog, service + `, body: {string_value: "%NONSENSE%"}`, "body (g): the operator %NONSENSE% is unknown", ""},
		"wrong value":   {otelLog, service + `, attributes: {values: [{key: a, value: {string_value: "%REQ%"}}]}`, "attributes.values[0] (g)", ""},
		"two services":  {otelLog, service + ", http_service: {}", "grpc_service and http_service", ""},
		"formatter":     {otelLog, service + ", formatters: [{name: f, typed_config: {}}]", "formatters[0] (f): not supported", ""},
		"google_grpc":   {httpLog, "common_config: {log_name: l, grpc_service: {google_grpc: {target_uri: a, stat_prefix: s}}}", "", "degraded g"},
		"retries":       {httpLog, "common_config: {log_name: l, grpc_stream_retry_policy: {}, " + service + "}", "", "no effect grpc_stream_retry_policy"},
		"detectors":     {otelLog, service + ", resource_detectors: [{name: r}]", "", "degraded resource_detectors r"},
		"no collectors": {otelLog, "log_name: l", "", "degraded g"},
	} {
		_, noted, err := logOf(t, c.kind, c.text)
		switch {
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s: %v, want %q", name, err, c.refused)
		case c.noted != "" && (err != nil || len(noted) != 1 || !strings.Contains(noted[0], c.noted)):
			t.Errorf("%s: %v, %v, want %q", name, noted, err, c.noted)
		}
	}
}
