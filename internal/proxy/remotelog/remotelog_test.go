package remotelog

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	logsv1 "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// exchange has something in every place an entry tells of.
func exchange() *stream.Exchange {
	conn := &stream.Conn{
		Remote: netip.MustParseAddrPort("10.0.0.1:1000"), Local: netip.MustParseAddrPort("10.0.0.2:80"), SNI: "sni",
		TLS:      &stream.TLS{Version: tls.VersionTLS13, Cipher: tls.TLS_AES_128_GCM_SHA256, PeerURISANs: []string{"spiffe://a"}, PeerDNSSANs: []string{"a.b"}, PeerSubject: "CN=a", LocalURISANs: []string{"spiffe://b"}, SessionID: "id"},
		Metadata: map[string]map[string]any{"conn": {"k": "v"}}, Flags: stream.DownstreamReset, Termination: "gone", TransportFailure: "down",
		Peer: &stream.Peer{Workload: "w"},
	}
	x := &stream.Exchange{}
	x.Reset(conn, time.Unix(100, 5))
	x.Protocol, x.Remote = stream.HTTP2, netip.MustParseAddr("192.0.2.1")
	x.Request = stream.Request{Method: "PATCH", Scheme: "https", Authority: "shop", Path: "/p", OriginalPath: "/o", Length: 3}
	for _, h := range [][2]string{{"user-agent", "ua"}, {"referer", "re"}, {"x-forwarded-for", "192.0.2.1"}, {"x-request-id", "rid"}, {"x-a", "1"}, {"x-a", "2"}, {"x-secret", "s"}} {
		x.Request.Fields.Add(h[0], h[1])
	}
	x.Response.Status = 503
	x.Response.Fields.Add("x-b", "b\xff")
	x.ResponseTrailers.Add("x-t", "t")
	x.Received, x.Sent, x.Details, x.Attempts = 3, 4, "why", 2
	x.RequestEnd, x.FirstUpstreamTx, x.LastUpstreamTx, x.FirstUpstreamRx, x.LastUpstreamRx, x.FirstTx, x.End = 1, 2, 3, 4, 5, 6, 2*time.Second+7
	x.Upstream = stream.Upstream{Remote: netip.MustParseAddrPort("[fd00::1]:8080"), Local: netip.MustParseAddrPort("10.0.0.2:3000"), TransportFailure: "up"}
	x.ClusterName, x.Route = "c", &config.Route{Name: "r"}
	x.Flags = stream.UpstreamConnectionFailure | stream.UnauthorizedExternalService
	x.Metadata = map[string]map[string]any{"f": {"n": 1.5, "b": true, "l": []any{"a", nil}, "m": map[string]any{"x": "y"}}}
	x.FilterState = map[string]string{"state": "s"}
	return x
}

// sent are the requests a collector got; it answers what answer says.
func sent(t *testing.T, c *config.RemoteLog, answer func() (*filter.Answer, error), entries int) (*telemetry.Store, []*filter.Call) {
	t.Helper()
	var calls []*filter.Call
	store := telemetry.NewStore(0, telemetry.Labels{})
	e := New(Options{Store: store, Version: "v9", Node: Node{Raw: []byte("\x0a\x01n"), ID: "n", Cluster: "cl", Zone: "z"}, Send: func(_ context.Context, c *filter.Call) (*filter.Answer, error) {
		calls = append(calls, c)
		return answer()
	}})
	log := e.Log(c)
	for range entries {
		log(exchange())
	}
	e.Close(context.Background())
	return store, calls
}

func ok() (*filter.Answer, error) {
	a := &filter.Answer{Status: 200, Body: make([]byte, 5)}
	a.Trailers.Add("grpc-status", "0")
	return a, nil
}

// same compares a message with JSON of it.
func same(t *testing.T, got proto.Message, want string) {
	t.Helper()
	text, err := protojson.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := errors.Join(json.Unmarshal(text, &a), json.Unmarshal([]byte(want), &b)); err != nil {
		t.Fatal(err)
	}
	one, _ := json.MarshalIndent(a, "", " ")
	two, _ := json.MarshalIndent(b, "", " ")
	for i, line := range strings.Split(string(one), "\n") {
		if want := append(strings.Split(string(two), "\n"), make([]string, i+1)...)[i]; line != want {
			t.Fatalf("got %s, want %s, in %s", line, want, one)
		}
	}
}

var streamed = &config.RemoteLog{
	Kind: config.HTTPLog, Collector: config.Collector{Cluster: "logs", GRPC: true, Authority: "a", Headers: [][2]string{{"x-token", "t"}}}, Name: "mine", Flush: time.Hour, Buffer: 1 << 20,
	RequestHeaders: []string{"x-a", "x-none", ":path"}, ResponseHeaders: []string{"x-b"}, ResponseTrailers: []string{"x-t"}, FilterState: []string{"state", "none", "wasm.downstream_peer"},
	Tags: []config.TraceTag{{Name: "lit", Value: config.Format{Source: "50%%"}}, {Name: "miss", Value: config.Format{Source: "%REQ(x-none)%"}, Missing: "m"}, {Name: "none", Value: config.Format{Source: "%REQ(x-none)%"}}},
}

const common = `"commonProperties": {
	"downstreamRemoteAddress": {"socketAddress": {"address": "192.0.2.1", "portValue": 0}}, "downstreamDirectRemoteAddress": {"socketAddress": {"address": "10.0.0.1", "portValue": 1000}},
	"downstreamLocalAddress": {"socketAddress": {"address": "10.0.0.2", "portValue": 80}}, "upstreamRemoteAddress": {"socketAddress": {"address": "fd00::1", "portValue": 8080}},
	"upstreamLocalAddress": {"socketAddress": {"address": "10.0.0.2", "portValue": 3000}}, "upstreamCluster": "c", "routeName": "r", "startTime": "1970-01-01T00:01:40.000000005Z",
	"timeToLastRxByte": "0.000000001s", "timeToFirstUpstreamTxByte": "0.000000002s", "timeToLastUpstreamTxByte": "0.000000003s", "timeToFirstUpstreamRxByte": "0.000000004s",
	"timeToLastUpstreamRxByte": "0.000000005s", "timeToFirstDownstreamTxByte": "0.000000006s", "timeToLastDownstreamTxByte": "2.000000007s", "duration": "2.000000007s",
	"tlsProperties": {"tlsVersion": "TLSv1_3", "tlsCipherSuite": 4865, "tlsSniHostname": "sni", "tlsSessionId": "id", "localCertificateProperties": {"subjectAltName": [{"uri": "spiffe://b"}]},
		"peerCertificateProperties": {"subjectAltName": [{"uri": "spiffe://a"}, {"dns": "a.b"}], "subject": "CN=a"}},
	"responseFlags": {"upstreamConnectionFailure": true, "downstreamConnectionTermination": true, "unauthorizedDetails": {"reason": "EXTERNAL_SERVICE"}},
	"metadata": {"filterMetadata": {"conn": {"k": "v"}, "f": {"n": 1.5, "b": true, "l": ["a", null], "m": {"x": "y"}}}},
	"upstreamTransportFailureReason": "up", "connectionTerminationDetails": "gone", "downstreamTransportFailureReason": "down", "streamId": "rid", "upstreamRequestAttemptCount": 2,
	"filterStateObjects": {"state": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "s"}, "wasm.downstream_peer": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"workload": "w"}}},
	"customTags": {"lit": "50%", "miss": "m"}, "accessLogType": `

func TestStream(t *testing.T) {
	store, calls := sent(t, streamed, ok, 1)
	if len(calls) != 1 || calls[0].Cluster != "logs" || calls[0].Host != "a" || calls[0].Path != streamMethod || !calls[0].HTTP2 || calls[0].Fields[len(calls[0].Fields)-1].Value != "t" {
		t.Fatalf("calls %+v", calls)
	}
	var m accesslogv3.StreamAccessLogsMessage
	if err := proto.Unmarshal(calls[0].Body[5:], &m); err != nil {
		t.Fatal(err)
	}
	same(t, &m, `{"identifier": {"logName": "mine", "node": {"id": "n"}}, "httpLogs": {"logEntry": [{`+common+`"DownstreamEnd"}, "protocolVersion": "HTTP2",
		"request": {"requestMethod": "PATCH", "scheme": "https", "authority": "shop", "port": 80, "path": "/p", "originalPath": "/o", "userAgent": "ua", "referer": "re", "forwardedFor": "192.0.2.1", "requestId": "rid",
			"requestHeadersBytes": "93", "requestBodyBytes": "3", "requestHeaders": {"x-a": "1,2", ":path": "/p"}},
		"response": {"responseCode": 503, "responseHeadersBytes": "5", "responseBodyBytes": "4", "responseHeaders": {"x-b": "b?"}, "responseTrailers": {"x-t": "t"}, "responseCodeDetails": "why"}}]}}`)
	if n := store.Counter("access_logs.grpc_access_log.logs_written").Load(); n != 1 {
		t.Errorf("%d were written", n)
	}
}

func TestTCPEntry(t *testing.T) {
	c := *streamed
	c.Kind = config.TCPLog
	x := exchange()
	x.Protocol = stream.NoProtocol
	var m accesslogv3.StreamAccessLogsMessage
	r := &reporter{kind: c.Kind}
	if err := proto.Unmarshal(r.streamMessage([][]byte{newEntries(&c).encode(x)}), &m); err != nil {
		t.Fatal(err)
	}
	same(t, &m, `{"tcpLogs": {"logEntry": [{`+common+`"TcpConnectionEnd"}, "connectionProperties": {"receivedBytes": "3", "sentBytes": "4"}}]}}`)
	x.Reset(&stream.Conn{}, time.Unix(1, 0))
	if err := proto.Unmarshal(r.streamMessage([][]byte{newEntries(&config.RemoteLog{Kind: config.TCPLog}).encode(x)}), &m); err != nil {
		t.Fatal(err)
	}
	same(t, &m, `{"tcpLogs": {"logEntry": [{"commonProperties": {"startTime": "1970-01-01T00:00:01Z", "accessLogType": "TcpConnectionStart", "intermediateLogEntry": true}, "connectionProperties": {}}]}}`)
}

var otel = &config.RemoteLog{
	Kind: config.OTelLog, Collector: config.Collector{Cluster: "otel", GRPC: true}, Name: "mine", Flush: time.Hour, Buffer: 1 << 20, StatPrefix: "mesh",
	Body:        &config.LogValue{Text: "%REQ(x-secret)% \"%RESP(x-b)%\" %REQ(x-none)%\n"},
	Attributes:  []config.LogField{{Key: "o", Value: config.LogValue{IsObject: true, Fields: []config.LogField{{Key: "l", Value: config.LogValue{IsList: true, List: []config.LogValue{{Text: "%RESPONSE_CODE%"}, {Raw: []byte("\x18\x07")}}}}}}}},
	Resource:    []config.LogField{{Key: "r", Value: config.LogValue{Raw: []byte("\x0a\x01v")}}},
	FilterState: []string{"state", "none", "wasm.downstream_peer"}, Tags: streamed.Tags,
}

const record = `{"timeUnixNano": "100000000005", "body": {"stringValue": "s \"b?\" -\n"}, "attributes": [
	{"key": "o", "value": {"kvlistValue": {"values": [{"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "503"}, {"intValue": "7"}]}}}]}}},
	{"key": "state", "value": {"stringValue": "s"}}, {"key": "wasm.downstream_peer", "value": {"stringValue": "{\"workload\":\"w\"}"}},
	{"key": "lit", "value": {"stringValue": "50%"}}, {"key": "miss", "value": {"stringValue": "m"}}]}`

func TestOpenTelemetry(t *testing.T) {
	for name, over := range map[string]bool{"gRPC": true, "HTTP": false} {
		c := *otel
		c.Collector.GRPC, c.Collector.Path = over, "/v1/logs"
		store, calls := sent(t, &c, ok, 2)
		body, want := calls[0].Body, "/v1/logs"
		if over {
			body, want = body[5:], exportMethod
		}
		if len(calls) != 1 || calls[0].Path != want || calls[0].Host != "otel" {
			t.Fatalf("%s: calls %+v", name, calls)
		}
		var m logsv1.LogsData // the request by another name
		if err := proto.Unmarshal(body, &m); err != nil {
			t.Fatal(err)
		}
		same(t, &m, `{"resourceLogs": [{"resource": {"attributes": [{"key": "log_name", "value": {"stringValue": "mine"}}, {"key": "zone_name", "value": {"stringValue": "z"}},
			{"key": "cluster_name", "value": {"stringValue": "cl"}}, {"key": "node_name", "value": {"stringValue": "n"}}, {"key": "r", "value": {"stringValue": "v"}}]},
			"scopeLogs": [{"logRecords": [`+record+", "+record+`]}]}]}`)
		if n := store.Counter("access_logs.open_telemetry_access_log.mesh.logs_written").Load(); n != 2 {
			t.Errorf("%s: %d were written", name, n)
		}
	}
	x := exchange()
	x.Span = &stream.Span{TraceID: stream.TraceID{1}, ID: stream.SpanID{2}}
	if got := string(newRecords(&config.RemoteLog{}).encode(x)); !strings.HasSuffix(got, "\x4a\x10\x01"+strings.Repeat("\x00", 15)+"\x52\x08\x02"+strings.Repeat("\x00", 7)) {
		t.Errorf("%q doesn't end with the trace's and the span's ids", got)
	}
	e := New(Options{Store: telemetry.NewStore(0, telemetry.Labels{})})
	if got := e.resource(&config.RemoteLog{NoLabels: true}); got != nil {
		t.Errorf("labels in %q", got)
	}
}

// TestAnswers: what a server says at the end of a stream counts for nothing unless it didn't read it.
func TestAnswers(t *testing.T) {
	for text, dropped := range map[string]bool{"0": false, "2": false, "1": false, "14": true, "12": true, "7": true, "": true} {
		store, _ := sent(t, streamed, func() (*filter.Answer, error) {
			if text == "" {
				return nil, errors.New("gone")
			}
			a := &filter.Answer{Status: 200}
			a.Fields.Add("grpc-status", text)
			return a, nil
		}, 3)
		written, lost := store.Counter("access_logs.grpc_access_log.logs_written").Load(), store.Counter("access_logs.grpc_access_log.logs_dropped").Load()
		if dropped && (written != 0 || lost != 3) || !dropped && (written != 3 || lost != 0) {
			t.Errorf("status %q: %d written, %d dropped", text, written, lost)
		}
	}
}

// TestSharedQueues: logs to one collector that say the same of themselves go together, others don't.
func TestSharedQueues(t *testing.T) {
	e := New(Options{Store: telemetry.NewStore(0, telemetry.Labels{})})
	defer e.Close(context.Background())
	first := e.queue(streamed)
	for name, c := range map[string]struct {
		change func(*config.RemoteLog)
		same   bool
	}{
		"the same":      {func(*config.RemoteLog) {}, true},
		"other headers": {func(c *config.RemoteLog) { c.RequestHeaders = nil }, true},
		"other name":    {func(c *config.RemoteLog) { c.Name = "b" }, false},
		"other kind":    {func(c *config.RemoteLog) { c.Kind = config.TCPLog }, false},
		"other cluster": {func(c *config.RemoteLog) { c.Collector.Cluster = "b" }, false},
		"other flush":   {func(c *config.RemoteLog) { c.Flush = time.Second }, false},
	} {
		other := *streamed
		c.change(&other)
		if (e.queue(&other) == first) != c.same {
			t.Errorf("%s: shared is not %v", name, c.same)
		}
	}
	for range 2 * mostQueues {
		other := *streamed
		other.Buffer += uint32(len(e.queues)) + 1
		streamed := other
		e.queue(&streamed)
	}
	if len(e.queues) > mostQueues {
		t.Errorf("%d queues are remembered", len(e.queues))
	}
}

// TestDeepMetadata: what is nested endlessly ends.
func TestDeepMetadata(t *testing.T) {
	m := map[string]any{}
	m["again"] = m
	if n := len(structOf(m, 0)); n == 0 || n > 4096 {
		t.Errorf("%d bytes", n)
	}
}
