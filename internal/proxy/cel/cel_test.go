package cel

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func exchange() *stream.Exchange {
	conn := &stream.Conn{
		ID: 7, Remote: netip.MustParseAddrPort("10.0.0.1:1000"), Local: netip.MustParseAddrPort("10.0.0.2:80"), SNI: "shop", Flags: stream.DownstreamReset,
		TLS: &stream.TLS{Version: 0x304, Mutual: true, PeerURISANs: []string{"spiffe://a", "spiffe://b"}, PeerSubject: "CN=a"}, Metadata: map[string]map[string]any{"c": {"k": true}},
		Peer: &stream.Peer{Namespace: "ns"},
	}
	x := &stream.Exchange{}
	x.Reset(conn, time.Unix(1700000000, 0))
	x.Protocol, x.End, x.Received, x.Sent, x.Attempts = stream.HTTP2, 1500*time.Millisecond, 3, 4, 2
	x.Request = stream.Request{Method: "GET", Scheme: "https", Authority: "shop.example", Path: "/p/q?a=b"}
	x.Request.Fields.Add("user-agent", "curl")
	x.Request.Fields.Add("x-a", "1")
	x.Request.Fields.Add("x-a", "2")
	x.Response.Status, x.Details = 503, "via_upstream"
	x.Response.Fields.Add("x-b", "b")
	x.ResponseTrailers.Add("grpc-status", "14")
	x.GRPCStatus, x.Flags = 14, stream.UpstreamConnectionFailure|stream.DurationTimeout
	x.Upstream.Remote = netip.MustParseAddrPort("10.0.0.3:8080")
	x.Metadata = map[string]map[string]any{"f": {"n": 1.5, "s": "t"}}
	x.FilterState = map[string]string{"key": "v"}
	return x
}

var judged = map[string]bool{
	"response.code >= 400": true, "response.code == 503 && request.method == 'GET'": true, "response.code < 500": false,
	"request.path == '/p/q?a=b' && request.url_path == '/p/q' && request.query == 'a=b'":                  true,
	"request.host.endsWith('.example') && request.scheme == 'https' && request.protocol == 'HTTP/2'":      true,
	"request.headers['X-A'] == '1,2' && request.headers['user-agent'] == request.useragent":               true,
	"request.headers[':path'] == request.path && 'x-a' in request.headers && !('x-b' in request.headers)": true,
	"has(request.headers.x) || has(request.referer)":                                                      false,
	"request.headers['none'] == 'a'":                            false, // an error
	"request.headers['none'] != 'a'":                            false, // too
	"!(request.headers['none'] == 'a')":                         false,
	"request.headers['none'] == 'a' || response.code == 503":    true, // absorbed
	"!(request.headers['none'] == 'a' && response.code == 200)": true,
	"request.referer == ''":                                     false,
	"size(request.headers) == 3 && request.duration > duration('1s') && request.time > timestamp('2020-01-01T00:00:00Z')":                                                               true,
	"request.size + response.size == 7 && request.size * 2 - 1 == 5 && 7 / 2 == 3 && 7 % 2 == 1":                                                                                        true,
	"response.headers['x-b'] == 'b' && response.trailers['grpc-status'] == '14' && response.grpc_status == 14":                                                                          true,
	"response.code_details.contains('up') && request.path.matches('^/p/.$') == false && request.path.matches('q')":                                                                      true,
	"source.address == '10.0.0.1:1000' && source.port == 1000 && destination.port == 80 && upstream.port == 8080":                                                                       true,
	"connection.mtls && connection.id == 7 && connection.requested_server_name == 'shop' && connection.tls_version == 'TLSv1.3' && connection.uri_san_peer_certificate == 'spiffe://a'": true,
	"upstream.tls_version == 'x'": false, "upstream.request_attempt_count == 2": true,
	"response.flags == 32 + 16384 + 4194304": true, // UF, DC, DT as Envoy numbers them
	"metadata.filter_metadata['f']['n'] == 1.5 && metadata.filter_metadata.f.s == 't' && metadata.filter_metadata.c.k": true,
	"metadata.filter_metadata['g']['n'] == 1":                                      false,
	"filter_state['key'] == 'v' && filter_state.downstream_peer.namespace == 'ns'": true,
	"filter_state['none'] == 'v'":                                                  false,
	"response.code in [502, 503]":                                                  true,
	"response.code == 503 ? request.method == 'GET' : false":                       true,
	"string(response.code).startsWith('5') && int('503') == response.code":         true,
	"response.code": false, // no bool
	"1 / 0 == 1":    false,
}

func TestMatch(t *testing.T) {
	for text, want := range judged {
		e, err := Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := e.Match(exchange()); got != want {
			t.Errorf("%s: %v", text, got)
		}
		e.Match(&stream.Exchange{Conn: &stream.Conn{}, GRPCStatus: -1}) // of nothing
	}
}

// TestRefused: what isn't understood is said, with its place.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "expected a value, found the end (line 1, column 1)",
		"response.code >":           "expected a value, found the end (line 1, column 16)",
		"true\n&& (1 == 1":          "expected \")\", found the end (line 2, column 11)",
		"[1, 2":                     "expected \",\" or \"]\", found the end",
		"{'a' 1}":                   "expected \":\" behind the key, found \"1\" (line 1, column 6)",
		"true ? 1":                  "expected \":\" of the condition, found the end",
		"1 == 1 2":                  "expected an operator or the end, found \"2\"",
		"request.":                  "expected the name of an attribute, found the end",
		"'a":                        "the string has no end, expected ' (line 1, column 1)",
		"'ä' == \"\"\"a":            "the string has no end, expected \"\"\" (line 1, column 8)",
		"'\\q' == 'q'":              "the escape \\q is unknown",
		"'\\x4' == 'q'":             "the escape \\x needs 2 digits",
		"'\\ud800' == 'q'":          "0xd800 is no character",
		"b'\\u0041' == b'A'":        "the escape \\u is unknown",
		"1 == 1 # yes":              "the character '#' has no meaning here (line 1, column 8)",
		"'\xff' == ''":              "it isn't UTF-8",
		"9223372036854775808 > 0":   "it is no number that fits an integer of 64 bits (line 1, column 1)",
		"while > 0":                 "while is reserved",
		"response.cod == 1":         "the attribute response.cod is unknown (line 1, column 1)",
		"true && xds.node == 1":     "xds is unknown (line 1, column 9)",
		"request == request":        "request is no value, only request.NAME is",
		"request['path'] == '/'":    "request is no value",
		"[1].all(x.y, true)":        "expected \",\" behind the variable, found \".\"",
		"[1].all(x)":                "expected \",\" behind the variable",
		"[1].filter(x, true, true)": "filter takes no 3 arguments",
		"[1].all(x, true) && x":     "x is unknown (line 1, column 21)",
		"has(response.code == 1)":   "expected a field that has could look for",
		"size(1, 2) == 1":           "size has 2 arguments, expected 1",
		"type(1) == int":            "the function type is not supported",
		"a.b{c: 1} == 1":            "a is unknown",
		"random() == 1":             "the function random is not supported",
		"request.path.split('/')":   "the function split is not supported",
		"request.path.matches('(')": "the pattern of matches: missing closing )",
		"'a'.matches(request.path)": "a pattern of matches that is no literal",
		"request.time.getHours('Mars/Phobos') == 1": "the time zone \"Mars/Phobos\" is unknown here",
		"request.time.getHours(request.path) == 1":  "a time zone that is no literal",
		"request.time.getHours('+1:00') == 1":       "is not like +01:30",
		strings.Repeat("(", 200) + "1":              "nested deeper than 48 (line 1, column 49)",
		"'" + strings.Repeat("a", 5000) + "' == ''": "its size is over 4096 bytes",
	} {
		if _, err := Compile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}
