package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	logsv1 "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// logCollector is a server of both log services, which keeps a line of each entry.
type logCollector struct {
	accesslogv3.UnimplementedAccessLogServiceServer

	mu    sync.Mutex
	lines []string
}

func (c *logCollector) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

func (c *logCollector) has(line string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.lines, line)
}

// StreamAccessLogs ends as many servers do: with the end of the stream as an error.
func (c *logCollector) StreamAccessLogs(s accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		for _, e := range m.GetHttpLogs().GetLogEntry() {
			c.add("%s %s: %s %s%s %d %s", m.GetIdentifier().GetNode().GetId(), m.GetIdentifier().GetLogName(), e.GetRequest().GetRequestMethod(),
				e.GetRequest().GetAuthority(), e.GetRequest().GetPath(), e.GetResponse().GetResponseCode().GetValue(), e.GetRequest().GetRequestHeaders()["x-mine"])
		}
	}
}

// logsService is OpenTelemetry's. LogsData is the request message by another name.
func (c *logCollector) logsService() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.logs.v1.LogsService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: func(_ any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var in logsv1.LogsData
			err := read(&in)
			c.export(&in)
			return &emptypb.Empty{}, err
		}}},
	}
}

func (c *logCollector) export(q *logsv1.LogsData) {
	for _, r := range q.ResourceLogs {
		for _, s := range r.ScopeLogs {
			for _, l := range s.LogRecords {
				c.add("%s: %s %s", textOf(r.Resource.Attributes, "log_name"), l.Body.GetStringValue(), textOf(l.Attributes, "path"))
			}
		}
	}
}

func textOf(list []*commonv1.KeyValue, key string) string {
	for _, each := range list {
		if each.Key == key {
			return each.Value.GetStringValue()
		}
	}
	return ""
}

// TestRemoteLogs: both services get what the logs' filters take, over the clusters' HTTP/2. A collector that is configured
// beside them and takes nothing holds up neither requests nor the others.
func TestRemoteLogs(t *testing.T) {
	collector, l := &logCollector{}, listen(t)
	s := grpc.NewServer()
	accesslogv3.RegisterAccessLogServiceServer(s, collector)
	s.RegisterService(collector.logsService(), nil)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	silent := backend(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	clusterOf := func(name, address string) string {
		host, port, _ := net.SplitHostPort(address)
		return fmt.Sprintf(`{"name": %q, "type": "STATIC", "connect_timeout": "20s", "load_assignment": {"cluster_name": %q, "endpoints": [{"lb_endpoints": [
			{"endpoint": {"address": {"socket_address": {"address": %q, "port_value": %s}}}}]}]}, "typed_extension_protocol_options": {
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				"explicit_http_config": {"http2_protocol_options": {}}}}}`, name, name, host, port)
	}
	common := func(name, cluster string) string {
		return fmt.Sprintf(`"common_config": {"log_name": %q, "transport_api_version": "V3", "buffer_flush_interval": "0.010s", "grpc_service": {"timeout": "60s", "envoy_grpc": {"cluster_name": %q}}}`, name, cluster)
	}
	const onlyErrors = `"filter": {"extension_filter": {"name": "c", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
		"expression": "response.code >= 400 && request.headers['x-mine'] == 'm'"}}}`
	logs := `"access_log": [
		{"name": "silent", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig", ` + common("silent", "silent") + `}},
		{"name": "all", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig", ` + common("all", "logs") + `,
			"additional_request_headers_to_log": ["X-Mine"]}},
		{"name": "errors", ` + onlyErrors + `, "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
			` + common("errors", "logs") + `, "body": {"string_value": "%REQ(:METHOD)% %RESPONSE_CODE%"}, "attributes": {"values": [{"key": "path", "value": {"string_value": "%REQ(:PATH)%"}}]}}}
	]`
	r := newRig(t, func(o *Options) {
		o.Bootstrap = inboundOf(t, `"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
			{"match": {"prefix": "/good"}, "direct_response": {"status": 200}}, {"match": {"prefix": "/"}, "direct_response": {"status": 404}}]}]}, `+logs,
			"", "", `"clusters": [`+clusterOf("logs", l.Addr().String())+", "+clusterOf("silent", silent)+"],")
	})
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	for _, path := range []string{"/good", "/bad"} {
		if got := ask(t, r.inbound, "GET "+path+" HTTP/1.1\r\nHost: a\r\nX-Mine: m\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 ") {
			t.Fatalf("got %q", got)
		}
	}
	for _, line := range []string{"n all: GET a/good 200 m", "n all: GET a/bad 404 m", "errors: GET 404 /bad"} {
		eventually(t, line, func() error { return unless(collector.has(line)) })
	}
	if collector.has("errors: GET 200 /good") {
		t.Error("the log of errors has what its filter doesn't take")
	}
	for name, want := range map[string]uint64{"grpc_access_log": 2, "open_telemetry_access_log": 1} {
		eventually(t, name, func() error { return unless(r.store.Counter("access_logs."+name+".logs_written").Load() == want) })
	}
}

func unless(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("not yet")
}
