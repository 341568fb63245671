package format

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var update = flag.Bool("update", false, "write the golden files")

func exchange() *stream.Exchange {
	conn := &stream.Conn{
		ID: 7, Remote: netip.MustParseAddrPort("10.0.0.1:3333"), Local: netip.MustParseAddrPort("10.0.0.9:80"),
		SNI: "shop.example", Listener: &config.Listener{Name: "0.0.0.0_80"}, Chain: &config.Chain{Name: "chain"},
	}
	x := &stream.Exchange{}
	x.Reset(conn, time.Date(2026, 3, 4, 5, 6, 7, 89123456, time.UTC))
	x.Protocol = stream.HTTP11
	x.Request = stream.Request{Method: "GET", Scheme: "http", Authority: "shop", Path: "/buy?item=1&q=a%20b", OriginalPath: "/old?item=1"}
	x.Request.Fields.Add("user-agent", "curl/8")
	x.Request.Fields.Add("x-request-id", "id-1")
	x.Response.Status = 503
	x.Response.Fields.Add("x-envoy-upstream-service-time", "12")
	x.ResponseTrailers.Add("grpc-status", "14")
	x.Route = &config.Route{Name: "default", Metadata: map[string]map[string]any{"istio": {"config": "/apis/x"}}}
	x.VirtualHost = &config.VirtualHost{Name: "shop:80"}
	x.Cluster = &config.Cluster{Name: "outbound|80||shop", Metadata: map[string]map[string]any{"istio": {"n": 3.0}}}
	x.ClusterName, x.Attempts = "outbound|80||shop", 2
	x.Upstream = stream.Upstream{Remote: netip.MustParseAddrPort("[fd00::2]:8080"), Local: netip.MustParseAddrPort("[fd00::1]:4444"), Host: "h:80", Protocol: stream.HTTP2}
	x.Flags, x.Details = stream.UpstreamConnectionFailure, "upstream_reset{connection timeout}"
	x.Received, x.Sent, x.GRPCStatus = 10, 20, 14
	x.RequestEnd, x.FirstUpstreamTx, x.LastUpstreamTx = time.Millisecond, 2*time.Millisecond, 3*time.Millisecond
	x.FirstUpstreamRx, x.LastUpstreamRx, x.FirstTx, x.End = 10*time.Millisecond, 15*time.Millisecond, 11*time.Millisecond, 16*time.Millisecond
	x.Metadata = map[string]map[string]any{"f": {"s": "text", "n": 1.5, "o": map[string]any{"k": true}}}
	x.EmitMessages, x.Messages = true, [2]uint64{3, 4}
	x.Peer = &stream.Peer{Workload: "front-v1", Namespace: "shop"}
	return x
}

func TestOperators(t *testing.T) {
	for source, want := range map[string]string{
		"%START_TIME%":                                                              "2026-03-04T05:06:07.089Z",
		"%START_TIME(%Y/%m/%d %H.%M.%S %%)%":                                        "2026/03/04 05.06.07 %",
		"%START_TIME(%s %3s %6s %9s)%":                                              "1772600767 1772600767089 1772600767089123 1772600767089123456",
		"%START_TIME(%f %1f %3f)%":                                                  "089123456 0 089",
		"%START_TIME(%E3S %Ez %j %e %b %a)%":                                        "07.089 +00:00 063  4 Mar Wed",
		"%EMIT_TIME%":                                                               "2026-03-04T05:06:07.105Z",
		"%REQ(:METHOD)% %REQ(:path)%":                                               "GET /buy?item=1&q=a%20b",
		"%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%":                                        "/old?item=1",
		"%REQ(Missing?User-Agent):4%":                                               "curl",
		"%REQ(missing)%":                                                            "-",
		"%RESP(X-Envoy-Upstream-Service-Time)%":                                     "12",
		"%TRAILER(grpc-status)%":                                                    "14",
		"%PROTOCOL% %UPSTREAM_PROTOCOL%":                                            "HTTP/1.1 HTTP/2",
		"%RESPONSE_CODE%":                                                           "503",
		"%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%":                                    "UF UpstreamConnectionFailure",
		"%RESPONSE_CODE_DETAILS%":                                                   "upstream_reset{connection_timeout}",
		"%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%":                                "upstream_reset{connection timeout}",
		"%BYTES_RECEIVED%/%BYTES_SENT%":                                             "10/20",
		"%DURATION% %REQUEST_DURATION% %REQUEST_TX_DURATION%":                       "16 1 3",
		"%RESPONSE_DURATION% %RESPONSE_TX_DURATION%":                                "10 6",
		"%COMMON_DURATION(US_TX_BEG:US_RX_END:us)%":                                 "13000",
		"%UPSTREAM_HOST% %UPSTREAM_LOCAL_ADDRESS%":                                  "[fd00::2]:8080 [fd00::1]:4444",
		"%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%":             "fd00::2 8080",
		"%UPSTREAM_HOST_NAME% %UPSTREAM_HOST_NAME_WITHOUT_PORT%":                    "h:80 h",
		"%UPSTREAM_CLUSTER% %UPSTREAM_REQUEST_ATTEMPT_COUNT%":                       "outbound|80||shop 2",
		"%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_PORT%":               "10.0.0.1:3333 3333",
		"%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%":        "10.0.0.9:80 10.0.0.9",
		"%REQUESTED_SERVER_NAME% %ROUTE_NAME% %VIRTUAL_CLUSTER_NAME%":               "shop.example default other",
		"%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%":            "Unavailable UNAVAILABLE 14",
		"%STREAM_ID% %CONNECTION_ID% %ACCESS_LOG_TYPE%":                             "id-1 7 DownstreamEnd",
		"%PATH(NQ:ORIG)% %PATH(NO_QUERY:PATH)% %PATH(WITH_QUERY:ORIG_OR_PATH)%":     "/old /buy /old?item=1",
		"%QUERY_PARAM(q)% %QUERY_PARAM(x)% %QUERY_PARAMS(DECODED)%":                 "a%20b - item=1&q=a b",
		"%DYNAMIC_METADATA(f:s)% %DYNAMIC_METADATA(f:n)% %DYNAMIC_METADATA(f:o)%":   "text 1.5 {\x22k\x22:true}",
		"%DYNAMIC_METADATA(g:s)% %DYNAMIC_METADATA(f:s:t)%":                         "- -",
		"%CLUSTER_METADATA(istio:n)% %METADATA(ROUTE:istio:config)%":                "3 /apis/x",
		"%FILTER_STATE(downstream_peer:FIELD:workload)%":                            "front-v1",
		"%FILTER_STATE(envoy.filters.http.grpc_stats:PLAIN)%":                       "3,4",
		"%FILTER_STATE(envoy.filters.http.grpc_stats)%":                             `{"requestMessageCount":"3","responseMessageCount":"4"}`,
		"%FILTER_STATE(envoy.filters.http.grpc_stats:FIELD:request_message_count)%": "3",
		"%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN%":                        "- -",
		"%LISTENER_NAME% %FILTER_CHAIN_NAME%":                                       "0.0.0.0_80 chain",
		"100%% of %%START_TIME%%":                                                   "100% of %START_TIME%",
		"plain":                                                                     "plain",
	} {
		f, err := CompileLine(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got := strings.ReplaceAll(string(f.Append(nil, exchange())), `\x22`, `"`); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for source, want := range map[string]string{
		"%START_TIME":             "no closing %",
		"%COLOUR%":                "the operator %COLOUR% is unknown",
		"a %COLOUR(x:y):5% b":     "%COLOUR(x:y):5%",
		"%REQ%":                   "want a header's name",
		"%REQ(a?b?c)%":            "two with ? between",
		"%REQ(a):x%":              "no number",
		"%REQ(a):99999999999%":    "no number",
		"%REQ(a%":                 "no closing parenthesis",
		"%PROTOCOL(x)%":           "no argument",
		"%HOSTNAME(x)%":           "no argument",
		"%START_TIME(%Q)%":        "%Q is unknown",
		"%START_TIME(%E9Q)%":      "unknown",
		"%START_TIME(%)%":         "ends with %",
		"%GRPC_STATUS(LOUD)%":     "LOUD",
		"%PATH(MAYBE)%":           "MAYBE",
		"%PATH(WQ:NEW)%":          "NEW",
		"%QUERY_PARAM()%":         "name",
		"%COMMON_DURATION(A:B)%":  "DS_RX_BEG",
		"%DYNAMIC_METADATA()%":    "filter's name",
		"%METADATA(VIRTUAL:a)%":   "VIRTUAL",
		"%FILTER_STATE(a:FIELD)%": "field's name",
		"%FILTER_STATE(a:BIG)%":   "BIG",
		"%ENVIRONMENT()%":         "variable",
		"%lower%":                 "no closing %",
		"100% of it":              "no closing %",
	} {
		if _, err := CompileLine(source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
}

// TestGoldenLines: what Istio's users read, of requests and of TCP connections.
func TestGoldenLines(t *testing.T) {
	plain, err1 := CompileLine(Default)
	long, err2 := CompileLine(Istio)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	tcp := &stream.Exchange{}
	tcp.Reset(&stream.Conn{Remote: netip.MustParseAddrPort("[fd00::1]:3333"), Local: netip.MustParseAddrPort("[fd00::9]:80"),
		Flags: stream.IdleTimeout, Termination: "tcp_session_idle_timeout"}, time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC))
	tcp.ClusterName, tcp.End, tcp.Flags = "PassthroughCluster", 1234*time.Millisecond, stream.LocalReset
	tcp.Upstream.TransportFailure = "TLS_error: certificate verify failed"
	empty := &stream.Exchange{}
	empty.Reset(&stream.Conn{}, time.Time{})
	var got []byte
	for _, f := range []*Format{plain, long} {
		for _, x := range []*stream.Exchange{exchange(), tcp, empty} {
			got = f.Append(got, x)
		}
	}
	golden(t, "lines.txt", got)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// TestForging: no value a client chooses makes a second line, a second field or a second header of one.
func TestForging(t *testing.T) {
	x := exchange()
	for c := range 256 {
		x.Request.Path = "/" + string([]byte{byte(c)}) + "\r\n[2026] \"GET / HTTP/1.1\" 200 \\"
		line, _ := CompileLine(`"%REQ(:PATH)%"` + "\n")
		text := line.Append(nil, x)
		if bytes.Count(text, []byte("\n")) != 1 || bytes.Count(text, []byte(`"`)) != 2 || bytes.ContainsAny(text[:len(text)-1], "\r\x00\x1b") {
			t.Fatalf("%q", text)
		}
		header, _ := Compile("%REQ(:PATH)%")
		if text := header.Append(nil, x); bytes.ContainsAny(text, "\r\n\x00") {
			t.Fatalf("%q", text)
		}
		object, _ := CompileJSON([]config.FormatField{{Key: "p\"\n", Source: "%REQ(:PATH)%"}, {Key: "q", Source: "a%REQ(:PATH)%b"}}, false)
		var decoded map[string]string
		text = object.Append(nil, x)
		if err := json.Unmarshal(text, &decoded); err != nil || bytes.Count(text, []byte("\n")) != 1 {
			t.Fatalf("%v in %q", err, text)
		}
		if want := strings.ToValidUTF8(x.Request.Path, "\uFFFD"); decoded["p\"\n"] != want || decoded["q"] != "a"+want+"b" {
			t.Fatalf("%q became %q", want, decoded)
		}
	}
}

// TestNotUTF8: a line of JSON is UTF-8 whatever a client sends.
func TestNotUTF8(t *testing.T) {
	f, err := CompileJSON([]config.FormatField{{Key: "a", Source: "%REQ(:path)%"}, {Key: "b", Source: "-%REQ(:path)%"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	x := exchange()
	for _, path := range []string{"/\xff", "\xc3", "a\xe2\x82z", "\xed\xa0\x80"} {
		x.Request.Path = path
		if line := f.Append(nil, x); !utf8.Valid(line) || !json.Valid(line) {
			t.Errorf("%q gives %q", path, line)
		}
	}
}

func TestJSON(t *testing.T) {
	fields := []config.FormatField{
		{Key: "bytes", Source: "%BYTES_SENT%"},
		{Key: "code", Source: "%RESPONSE_CODE%"},
		{Key: "cut", Source: "%BYTES_SENT:1%"},
		{Key: "details", Source: "%RESPONSE_CODE_DETAILS%"},
		{Key: "meta", Source: "%DYNAMIC_METADATA(f)%"},
		{Key: "mixed", Source: "%BYTES_SENT%B %REQ(missing)%"},
		{Key: "nested", Fields: []config.FormatField{{Key: "n", Source: "%DYNAMIC_METADATA(f:n)%"}, {Key: "none", Source: "%REQ(missing)%"}}},
		{Key: "none", Source: "%REQ(missing)%"},
		{Key: "peer", Source: "%FILTER_STATE(downstream_peer)%"},
		{Key: "text", Source: "plain"},
		{Key: "time", Source: "%START_TIME%"},
	}
	for omit, want := range map[bool]string{
		false: `{"bytes":20,"code":503,"cut":"2","details":"upstream_reset{connection_timeout}","meta":{"n":1.5,"o":{"k":true},"s":"text"},"mixed":"20B -","nested":{"n":1.5,"none":null},"none":null,"peer":{"namespace":"shop","workload":"front-v1"},"text":"plain","time":"2026-03-04T05:06:07.089Z"}` + "\n",
		true:  `{"bytes":20,"code":503,"cut":"2","details":"upstream_reset{connection_timeout}","meta":{"n":1.5,"o":{"k":true},"s":"text"},"mixed":"20B ","nested":{"n":1.5},"peer":{"namespace":"shop","workload":"front-v1"},"text":"plain","time":"2026-03-04T05:06:07.089Z"}` + "\n",
	} {
		f, err := New(&config.Format{JSON: fields, OmitEmpty: omit})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.Append(nil, exchange())); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	deep := []config.FormatField{{Key: "x", Source: "y"}}
	for range 100 {
		deep = []config.FormatField{{Key: "x", Fields: deep}}
	}
	if _, err := CompileJSON(deep, false); err == nil {
		t.Error("any depth is taken")
	}
}

func TestExpressions(t *testing.T) {
	x := exchange()
	x.Conn.TLS = &stream.TLS{Mutual: true}
	for source, want := range map[string]string{
		"request.method":                                     "GET",
		"request.headers['user-agent']":                      "curl/8",
		`request.headers["none"]`:                            "",
		"'a' + request.host + \"b\"":                         "ashopb",
		"has(request.headers['none']) ? 'yes' : 'no'":        "no",
		"response.code == 503 && !(request.method == 'PUT')": "true",
		"response.code != 503 || connection.mtls":            "true",
		"downstream_peer.workload":                           "front-v1",
		"filter_state.downstream_peer.namespace":             "shop",
		"metadata.filter_metadata['f']['o']['k']":            "true",
		"(1 + '2')": "12",
		"request.url_path == '/buy' ? string(response.code) : (true ? 'a' : 'b')": "503",
	} {
		f, err := CompileExpression(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
		} else if got := string(f.Append(nil, x)); got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
	for _, source := range []string{"", "a.b", "'open", "(1", "1 2", "request.headers[x]", "a ? b", "has(", "request..x", strings.Repeat("(", 1000), strings.Repeat("!", 1000)} {
		if _, err := CompileExpression(source); err == nil {
			t.Errorf("%.20s is taken", source)
		}
	}
}

// TestTimeFormats compares with Go's layouts.
func TestTimeFormats(t *testing.T) {
	x := exchange()
	for day := range 800 {
		x.Start = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(day) * 25 * time.Hour)
		f, _ := CompileLine("%START_TIME%")
		if got, want := string(f.Append(nil, x)), x.Start.Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

func TestTLSOperators(t *testing.T) {
	x := exchange()
	x.Conn.TLS = &stream.TLS{Version: tls.VersionTLS13, Cipher: tls.TLS_AES_128_GCM_SHA256, PeerURISANs: []string{"spiffe://a", "spiffe://b"},
		PeerCert: &x509.Certificate{SerialNumber: big.NewInt(0xAB), Raw: []byte("x"), NotAfter: time.Unix(0, 0)}}
	for source, want := range map[string]string{
		"%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER%": "TLSv1.3 TLS_AES_128_GCM_SHA256",
		"%DOWNSTREAM_PEER_URI_SAN%":                        "spiffe://a,spiffe://b",
		"%DOWNSTREAM_PEER_SERIAL%":                         "ab",
		"%DOWNSTREAM_PEER_FINGERPRINT_256%":                "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
		"%DOWNSTREAM_PEER_CERT_V_END(%Y)%":                 "1970",
		"%UPSTREAM_PEER_SERIAL%":                           "-",
	} {
		f, err := CompileLine(source)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.Append(nil, x)); got != want {
			t.Errorf("%s: %q", source, got)
		}
	}
}

// FuzzFormat: a format either compiles or is refused, and what compiles can be used and makes no second line.
func FuzzFormat(f *testing.F) {
	for _, seed := range []string{Istio, Default, "%REQ(:METHOD)% %", "%START_TIME(%3f%s)%", "%DYNAMIC_METADATA(a:b):3%", "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%"} {
		f.Add(seed, "/a\nb")
	}
	f.Fuzz(func(t *testing.T, source, path string) {
		x := exchange()
		x.Request.Path = path
		compiled, err := CompileLine(source)
		if err != nil {
			return
		}
		if line := compiled.Append(nil, x); !strings.ContainsAny(source, "\n%") && bytes.IndexByte(line, '\n') >= 0 {
			t.Errorf("%q", line)
		}
		object, err := CompileJSON([]config.FormatField{{Key: source, Source: source}}, false)
		if err == nil && !json.Valid(object.Append(nil, x)) {
			t.Errorf("%q", object.Append(nil, x))
		}
	})
}

// FuzzExpression: an expression either compiles or is refused, and what compiles can be used.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{"request.headers['a'] + 'b'", "has(x) ? 'a' : !b", "((1))"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, source string) {
		if compiled, err := CompileExpression(source); err == nil {
			compiled.Append(nil, exchange())
		}
	})
}

func BenchmarkIstioLine(b *testing.B) {
	f, err := CompileLine(Istio)
	if err != nil {
		b.Fatal(err)
	}
	x := exchange()
	line := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		line = f.Append(line[:0], x)
	}
}

func TestALineCostsNoMemory(t *testing.T) {
	f, _ := CompileLine(Istio)
	x, line := exchange(), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { line = f.Append(line[:0], x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
