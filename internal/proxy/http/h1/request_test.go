package h1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var defaults = Limits{}.withDefaults()

// lines makes a message of lines that are written with a `|` at their end.
func lines(text string) []byte { return []byte(strings.ReplaceAll(text, "|", "\r\n")) }

// refusals is section 9 of the design, row by row: what is refused, and how.
var refusals = []struct {
	name, message string
	status        int
	details       string
}{
	{"length and chunked", "POST / HTTP/1.1|Host: a|Content-Length: 3|Transfer-Encoding: chunked||", 400, "content_length_and_chunked_not_allowed"},
	{"two lengths", "POST / HTTP/1.1|Host: a|Content-Length: 3|Content-Length: 3||", 400, "invalid_content_length"},
	{"a list of lengths", "POST / HTTP/1.1|Host: a|Content-Length: 3, 3||", 400, "invalid_content_length"},
	{"plus", "POST / HTTP/1.1|Host: a|Content-Length: +3||", 400, "invalid_content_length"},
	{"minus", "POST / HTTP/1.1|Host: a|Content-Length: -3||", 400, "invalid_content_length"},
	{"empty length", "POST / HTTP/1.1|Host: a|Content-Length:||", 400, "invalid_content_length"},
	{"hexadecimal length", "POST / HTTP/1.1|Host: a|Content-Length: 0x3||", 400, "invalid_content_length"},
	{"length of 2^63", "POST / HTTP/1.1|Host: a|Content-Length: 9223372036854775808||", 400, "invalid_content_length"},
	{"two encodings", "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: chunked||", 400, "invalid_transfer_encoding"},
	{"encoding in 1.0", "POST / HTTP/1.0|Host: a|Transfer-Encoding: chunked||", 400, "invalid_transfer_encoding"},
	{"xchunked", "POST / HTTP/1.1|Host: a|Transfer-Encoding: xchunked||", 400, "invalid_transfer_encoding"},
	{"chunked with parameter", "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked;q=1||", 400, "invalid_transfer_encoding"},
	{"chunked not last", "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked, gzip||", 400, "invalid_transfer_encoding"},
	{"gzip, chunked", "POST / HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked||", 501, "transfer_encoding_not_supported"},
	{"bare LF", "GET / HTTP/1.1\nHost: a||", 400, "invalid_version"},
	{"bare LF in fields", "GET / HTTP/1.1|Host: a\nX: b||", 400, "invalid_characters"},
	{"bare CR in a value", "GET / HTTP/1.1|Host: a|X: a\rb||", 400, "invalid_characters"},
	{"NUL in a value", "GET / HTTP/1.1|Host: a|X: a\x00b||", 400, "invalid_characters"},
	{"control byte in a value", "GET / HTTP/1.1|Host: a|X: 12345678\x01||", 400, "invalid_characters"},
	{"DEL in a value", "GET / HTTP/1.1|Host: a|X: 1234567\x7f||", 400, "invalid_characters"},
	{"control byte in a name", "GET / HTTP/1.1|Host: a|X\x01: b||", 400, "invalid_characters"},
	{"folded line", "GET / HTTP/1.1|Host: a|X: a| b||", 400, "folded_line"},
	{"folded line with tab", "GET / HTTP/1.1|Host: a|X: a|\tb||", 400, "folded_line"},
	{"blank before the colon", "GET / HTTP/1.1|Host: a|X : b||", 400, "invalid_header_name"},
	{"empty name", "GET / HTTP/1.1|Host: a|: b||", 400, "invalid_header_name"},
	{"name with a bracket", "GET / HTTP/1.1|Host: a|X(: b||", 400, "invalid_header_name"},
	{"name in UTF-8", "GET / HTTP/1.1|Host: a|Xé: b||", 400, "invalid_header_name"},
	{"line without colon", "GET / HTTP/1.1|Host: a|X||", 400, "invalid_characters"},
	{"method with a bracket", "G(T / HTTP/1.1|Host: a||", 400, "invalid_method"},
	{"long method", strings.Repeat("G", 33) + " / HTTP/1.1|Host: a||", 400, "invalid_method"},
	{"no method", " / HTTP/1.1|Host: a||", 400, "invalid_method"},
	{"empty line first", "||", 400, "invalid_method"},
	{"target with a control byte", "GET /\x01 HTTP/1.1|Host: a||", 400, "invalid_url"},
	{"target with a blank", "GET /a b HTTP/1.1|Host: a||", 400, "invalid_version"},
	{"target in UTF-8", "GET /é HTTP/1.1|Host: a||", 400, "invalid_url"},
	{"target with a fragment", "GET /#a HTTP/1.1|Host: a||", 400, "invalid_url"},
	{"no target", "GET  HTTP/1.1|Host: a||", 400, "invalid_url"},
	{"target without slash", "GET a HTTP/1.1|Host: a||", 400, "invalid_url"},
	{"asterisk with GET", "GET * HTTP/1.1|Host: a||", 400, "invalid_url"},
	{"another scheme", "GET ftp://a/ HTTP/1.1|Host: a||", 400, "invalid_url"},
	{"absolute without host", "GET http:/// HTTP/1.1|Host: a||", 400, "invalid_url"},
	{"user in absolute target", "GET http://u@a/ HTTP/1.1|Host: a||", 400, "invalid_host"},
	{"lower case version", "GET / http/1.1|Host: a||", 400, "invalid_version"},
	{"version 1.2", "GET / HTTP/1.2|Host: a||", 400, "invalid_version"},
	{"version 0.9", "GET / HTTP/0.9|Host: a||", 400, "invalid_version"},
	{"version with two digits", "GET / HTTP/1.11|Host: a||", 400, "invalid_version"},
	{"version 2", "GET / HTTP/2.0|Host: a||", 505, "version_not_supported"},
	{"the preface", "PRI * HTTP/2.0||SM||", 505, "version_not_supported"},
	{"no host", "GET / HTTP/1.1|X: b||", 400, "missing_host"},
	{"empty host", "GET / HTTP/1.1|Host:||", 400, "missing_host"},
	{"two hosts", "GET / HTTP/1.1|Host: a|Host: a||", 400, "duplicate_host"},
	{"host with user", "GET / HTTP/1.1|Host: u@a||", 400, "invalid_host"},
	{"host with slash", "GET / HTTP/1.1|Host: a/b||", 400, "invalid_host"},
	{"host with question mark", "GET / HTTP/1.1|Host: a?b||", 400, "invalid_host"},
	{"host with hash", "GET / HTTP/1.1|Host: a#b||", 400, "invalid_host"},
	{"host with backslash", "GET / HTTP/1.1|Host: a\\b||", 400, "invalid_host"},
	{"host with blank", "GET / HTTP/1.1|Host: a b||", 400, "invalid_host"},
	{"connection names host", "GET / HTTP/1.1|Host: a|Connection: Host||", 400, "connection_header_rejected"},
	{"connection names length", "GET / HTTP/1.1|Host: a|Connection: content-length||", 400, "connection_header_rejected"},
	{"connection names authorization", "GET / HTTP/1.1|Host: a|Connection: x, Authorization||", 400, "connection_header_rejected"},
	{"connection names x-forwarded", "GET / HTTP/1.1|Host: a|Connection: X-Forwarded-For||", 400, "connection_header_rejected"},
	{"connection names XFCC", "GET / HTTP/1.1|Host: a|Connection: x-forwarded-client-cert||", 400, "connection_header_rejected"},
	{"connection names the request id", "GET / HTTP/1.1|Host: a|Connection: X-Request-Id||", 400, "connection_header_rejected"},
	{"connection names ten", "GET / HTTP/1.1|Host: a|Connection: a,b,c,d,e,f,g,h,i,j||", 400, "connection_header_rejected"},
	{"101 fields", "GET / HTTP/1.1|Host: a|" + strings.Repeat("x: y|", 100) + "|", 431, "too_many_headers"},
	{"61 KiB", "GET / HTTP/1.1|Host: a|X: " + strings.Repeat("x", 61<<10) + "||", 431, "headers_too_large"},
}

func TestRefusals(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			var r stream.Request
			var h head
			_, err := parseRequest(lines(c.message), defaults, &r, &h)
			var f *codec.Failure
			if !errors.As(err, &f) || f.Status != c.status || f.Details != "http1."+c.details {
				t.Errorf("got %v, want %d http1.%s", err, c.status, c.details)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"plain":         {"GET /a?b HTTP/1.1|Host: h:80||", "GET h:80 /a?b  0"},
		"names":         {"GET / HTTP/1.1|HOST: a|X-Y:  b \t|Empty:||", "GET a /  0 x-y=b empty="},
		"absolute":      {"GET http://b:1/x HTTP/1.1|Host: a||", "GET b:1 /x  0"},
		"absolute bare": {"GET http://b?q HTTP/1.1|Host: a||", "GET b /?q  0"},
		"asterisk":      {"OPTIONS * HTTP/1.1|Host: a||", "OPTIONS a *  0"},
		"connect":       {"CONNECT b:443 HTTP/1.1|Host: a||", "CONNECT b:443   0"},
		"connect empty": {"CONNECT b:443 HTTP/1.1|Host: a|Content-Length: 0||", "CONNECT b:443   0 content-length=0"},
		"connect to h2": {"CONNECT b:443 HTTP/1.1|Host: a|Connection: Upgrade|Upgrade: x||", "CONNECT b:443   0"},
		"length":        {"POST / HTTP/1.1|Host: a|Content-Length: 03||", "POST a /  3 content-length=03"},
		"chunked":       {"POST / HTTP/1.1|Host: a|Transfer-Encoding: Chunked||", "POST a /  -1"},
		"hop by hop":    {"GET / HTTP/1.1|Host: a|Connection: close, X|X: 1|Keep-Alive: 1|Proxy-Connection: 1|Y: 2||", "GET a /  0 y=2"},
		"TE":            {"GET / HTTP/1.1|Host: a|TE: gzip, trailers||", "GET a /  0 te=trailers"},
		"TE gzip":       {"GET / HTTP/1.1|Host: a|TE: gzip||", "GET a /  0"},
		"upgrade":       {"GET / HTTP/1.1|Host: a|Connection: keep-alive, Upgrade|Upgrade: WebSocket||", "GET a / websocket 0 upgrade=WebSocket"},
		"bare upgrade":  {"GET / HTTP/1.1|Host: a|Upgrade: websocket||", "GET a /  0"},
		"h2c":           {"GET / HTTP/1.1|Host: a|Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: x||", "GET a /  0"},
		"old version":   {"GET / HTTP/1.0||", "GET  /  0"},
		"tab and UTF-8": {"GET / HTTP/1.1|Host: a|X: a\té||", "GET a /  0 x=a\té"},
		"custom method": {"X-Y!z / HTTP/1.1|Host: a||", "X-Y!z a /  0"},
	} {
		t.Run(name, func(t *testing.T) {
			var r stream.Request
			var h head
			message := append(lines(c.message), "rest"...)
			n, err := parseRequest(message, defaults, &r, &h)
			if got := tell(&r); err != nil || got != c.want || n != len(message)-4 {
				t.Errorf("got %d %q, %v, want %q", n, got, err, c.want)
			}
		})
	}
}

func tell(r *stream.Request) string {
	text := fmt.Sprintf("%s %s %s %s %d", r.Method, r.Authority, r.Path, r.Upgrade, r.Length)
	for i := range r.Fields.Len() {
		text += " " + r.Fields.At(i).Name + "=" + r.Fields.At(i).Value
	}
	return text
}

// TestEveryPrefixWaits: a head that comes in two parts is understood as one that comes whole, wherever it is cut.
func TestEveryPrefixWaits(t *testing.T) {
	whole := lines("POST http://b/x HTTP/1.1|Host: a|Content-Length: 3|X-Y: z||")
	for cut := range whole {
		var r stream.Request
		var h head
		n, err := parseRequest(bytes.Clone(whole[:cut]), defaults, &r, &h)
		if n != 0 || err != nil {
			t.Fatalf("%q: %d, %v", whole[:cut], n, err)
		}
	}
}

func TestParsingAllocatesNothing(t *testing.T) {
	message := lines("GET /a HTTP/1.1|Host: a|User-Agent: x|Connection: keep-alive|Accept: */*||")
	var r stream.Request
	var h head
	if n := testing.AllocsPerRun(100, func() {
		r.Fields.Clear()
		if n, err := parseRequest(message, defaults, &r, &h); n == 0 || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzRequest: what we accept, net/http reads the same way.
func FuzzRequest(f *testing.F) {
	for _, c := range refusals {
		if len(c.message) < 1000 {
			f.Add(lines(c.message))
		}
	}
	f.Add(lines("POST /a?b HTTP/1.1|Host: h:80|Content-Length: 3|Connection: keep-alive, Upgrade|Upgrade: a||abc"))
	f.Fuzz(func(t *testing.T, message []byte) {
		theirs, theirErr := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.Clone(message))))
		var r stream.Request
		var h head
		n, err := parseRequest(message, defaults, &r, &h)
		if err != nil || n == 0 {
			return
		}
		var bad *url.Error
		if errors.As(theirErr, &bad) {
			return // escapes and ports of URLs are judged by path normalisation and by matching no route
		}
		if theirErr != nil {
			t.Fatalf("we take what net/http refuses: %v", theirErr)
		}
		sameRequest(t, &r, &h, theirs)
	})
}

func sameRequest(t *testing.T, r *stream.Request, h *head, theirs *http.Request) {
	if r.Method != theirs.Method {
		t.Errorf("method %q, %q", r.Method, theirs.Method)
	}
	if r.Method != http.MethodConnect && r.Path != theirs.URL.RequestURI() && theirs.URL.Path != "" && r.Path != theirs.RequestURI {
		if !strings.HasSuffix(theirs.RequestURI, r.Path) {
			t.Errorf("path %q, %q", r.Path, theirs.RequestURI)
		}
	}
	if r.Authority != theirs.Host && h.hosts > 0 && r.Method != http.MethodConnect {
		t.Errorf("host %q, %q", r.Authority, theirs.Host)
	}
	length := r.Length
	if h.encodings > 0 {
		length = -1
	}
	if length != theirs.ContentLength {
		t.Errorf("length %d, %d", length, theirs.ContentLength)
	}
	for i := range r.Fields.Len() {
		field := r.Fields.At(i)
		if field.Name == "te" || field.Name == "upgrade" {
			continue
		}
		found := false
		for _, value := range theirs.Header.Values(field.Name) {
			found = found || value == field.Value
		}
		if !found {
			t.Errorf("%s: %q is none of %q", field.Name, field.Value, theirs.Header.Values(field.Name))
		}
	}
}
