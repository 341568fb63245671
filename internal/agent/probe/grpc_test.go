package probe

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// grpcServer answers over HTTP/2 without TLS.
func grpcServer(t *testing.T, h http.HandlerFunc) uint16 {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return portOf(t, server.URL)
}

// says answers as a gRPC server does: a message, and the status behind it.
func says(message, status string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = io.WriteString(w, message)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
	}
}

func TestGRPC(t *testing.T) {
	for name, c := range map[string]struct {
		server http.HandlerFunc
		code   int
		says   string
	}{
		"serving":              {says("\x00\x00\x00\x00\x02\x08\x01", "0"), 200, ""},
		"with unknown fields":  {says("\x00\x00\x00\x00\x06\x12\x02ab\x08\x01", "0"), 200, ""},
		"not serving":          {says("\x00\x00\x00\x00\x02\x08\x02", "0"), 500, "health status 2"},
		"unknown, the default": {says("\x00\x00\x00\x00\x00", "0"), 500, "health status 0"},
		"failed call":          {says("", "5"), 500, `gRPC status "5"`},
		"failed in headers": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Grpc-Status", "12")
			w.Header().Set("Grpc-Message", "unknown service")
		}, 500, `gRPC status "12": unknown service`},
		"message but failed":    {says("\x00\x00\x00\x00\x02\x08\x01", "13"), 500, `gRPC status "13"`},
		"no status":             {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "\x00\x00\x00\x00\x02\x08\x01") }, 500, `gRPC status ""`},
		"compressed":            {says("\x01\x00\x00\x00\x02\x08\x01", "0"), 500, "isn't one uncompressed message"},
		"no message":            {says("", "0"), 500, "isn't one uncompressed message"},
		"length is a lie":       {says("\x00\xff\xff\xff\xff\x08\x01", "0"), 500, "isn't one uncompressed message"},
		"malformed":             {says("\x00\x00\x00\x00\x02\x08\xff", "0"), 500, "malformed"},
		"huge":                  {says(strings.Repeat("x", 1<<20), "0"), 500, "longer than"},
		"HTTP but not gRPC":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, 500, "HTTP 404"},
		"many unknown messages": {says("\x00\x00\x00\x00\x02\x08\x01\x00\x00\x00\x00\x02\x08\x01", "0"), 500, "isn't one uncompressed message"},
	} {
		w := ask(handler(t, fmt.Sprintf(`{"grpc":{"port":%d}}`, grpcServer(t, c.server)), nil), livePath, nil)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, c.code, c.says)
		}
	}
}

// TestGRPCRequest: what a server for gRPC needs to answer at all.
func TestGRPCRequest(t *testing.T) {
	for service, want := range map[string]string{"": "\x00\x00\x00\x00\x00", "shop.Cart": "\x00\x00\x00\x00\x0b\x0a\x09shop.Cart"} {
		var seen *http.Request
		var body []byte
		port := grpcServer(t, func(w http.ResponseWriter, r *http.Request) {
			seen = r
			body, _ = io.ReadAll(r.Body)
			says("\x00\x00\x00\x00\x02\x08\x01", "0")(w, r)
		})
		w := ask(handler(t, fmt.Sprintf(`{"grpc":{"port":%d,"service":%q}}`, port, service), nil), livePath, http.Header{"User-Agent": {"kube-probe/1.36"}})
		if w.Code != 200 || string(body) != want {
			t.Errorf("%q: %d %s, sent %q, want %q", service, w.Code, w.Body, body, want)
		}
		if seen.Method != http.MethodPost || seen.URL.Path != healthCheck || seen.ProtoMajor != 2 || seen.Header.Get("Content-Type") != "application/grpc" ||
			seen.Header.Get("Te") != "trailers" || seen.UserAgent() != "kube-probe/1.36" || !strings.HasPrefix(seen.RemoteAddr, "127.0.0.6:") {
			t.Errorf("sent %s %s %s from %s, %v", seen.Method, seen.URL, seen.Proto, seen.RemoteAddr, seen.Header)
		}
	}
}

func TestGRPCWithoutServer(t *testing.T) {
	http1 := httptest.NewServer(http.NotFoundHandler())
	defer http1.Close()
	w := ask(handler(t, fmt.Sprintf(`{"grpc":{"port":%d}}`, portOf(t, http1.URL)), nil), livePath, nil)
	if w.Code != 500 || !bytes.HasPrefix(w.Body.Bytes(), []byte("error: ")) {
		t.Errorf("a server of HTTP/1.1: %d %s", w.Code, w.Body)
	}
}
