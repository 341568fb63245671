package http

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// webSocketServer speaks HTTP/1.1 and WebSocket as far as the handshake, then is a talker. answer is the head it gives.
func webSocketServer(t testing.TB, answer string) string {
	return scripted(t, func(conn net.Conn) {
		b := bufio.NewReader(conn)
		r, err := http.ReadRequest(b)
		if err != nil {
			return
		}
		key := r.Header.Get("Sec-WebSocket-Key")
		if r.Method != http.MethodGet || r.URL.Path != "/chat" || r.Header.Get("Upgrade") != "websocket" || len(key) != 24 {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		_, _ = io.WriteString(conn, strings.ReplaceAll(answer, "ACCEPT", acceptKey(key)))
		_, _ = io.WriteString(conn, "hello ")
		_, _ = io.Copy(conn, b)
		_, _ = io.WriteString(conn, " bye")
	})
}

const (
	switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"
	askH1    = "GET /chat HTTP/1.1\r\nHost: far\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	acceptH1 = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // of that key, by RFC 6455 1.3
)

// webSocket opens one over either version.
func (r *rig) webSocket(codec config.Codec) (pipe, *http.Response) {
	r.t.Helper()
	if codec == config.CodecHTTP1 {
		conn := r.raw()
		_, _ = io.WriteString(conn, askH1)
		b := bufio.NewReader(conn)
		answer, err := http.ReadResponse(b, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		return h1Pipe{conn, b}, answer
	}
	out, in := io.Pipe()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	r.t.Cleanup(cancel)
	answer, err := r.h2Client().Transport.RoundTrip((&http.Request{
		Method: http.MethodConnect, URL: &url.URL{Scheme: "http", Host: r.address, Path: "/chat"}, Host: "far",
		Header: http.Header{":protocol": {"websocket"}}, Body: out,
	}).WithContext(ctx))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { answer.Body.Close() })
	return h2Pipe{answer.Body, in}, answer
}

func webSockets(codec config.Codec) func(*rig) {
	return func(r *rig) { r.cfg.Codec, r.cfg.HTTP2.AllowConnect = codec, true }
}

// opened asserts that a WebSocket was opened as the client's version has it.
func opened(t *testing.T, codec config.Codec, answer *http.Response) {
	t.Helper()
	accept := answer.Header.Get("Sec-WebSocket-Accept")
	if codec == config.CodecHTTP1 {
		if answer.StatusCode != http.StatusSwitchingProtocols || accept != acceptH1 || answer.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%d %v", answer.StatusCode, answer.Header)
		}
	} else if answer.StatusCode != http.StatusOK || accept != "" {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
}

// A WebSocket asked for by either version reaches a server of HTTP/1.1.
func TestWebSocket(t *testing.T) {
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, []string{webSocketServer(t, switched)}, webSockets(codec))
			p, answer := r.webSocket(codec)
			opened(t, codec, answer)
			through(t, p)
			r.logged("101 - via_upstream 1048576 1048586")
		})
	}
}

// A WebSocket goes over HTTP/2 between two proxies, whichever version its client and its server speak.
func TestWebSocketBetweenProxies(t *testing.T) {
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			far := newRig(t, []string{webSocketServer(t, switched)}, webSockets(config.CodecHTTP2))
			r := newRig(t, []string{far.address}, func(r *rig) { webSockets(codec)(r); r.protocol = config.UpstreamHTTP2 })
			p, answer := r.webSocket(codec)
			opened(t, codec, answer)
			through(t, p)
			far.logged("101 - via_upstream 1048576 1048586")
		})
	}
}

// TestWebSocketRefused: no answer but a yes looks like a yes to a client of HTTP/2.
func TestWebSocketRefused(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		status int
		log    string
	}{
		"refused":      {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403, "403 - via_upstream"},
		"ignored":      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502, "502 UPE upstream_reset_before_response_started{protocol_error}"},
		"wrong answer": {strings.Replace(switched, "ACCEPT", acceptH1, 1), 502, "502 UPE upstream_reset_before_response_started{protocol_error}"},
		"no answer":    {strings.Replace(switched, "Sec-WebSocket-Accept: ACCEPT\r\n", "", 1), 502, "502 UPE upstream_reset_before_response_started{protocol_error}"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, []string{webSocketServer(t, c.answer)}, webSockets(config.CodecHTTP2))
			if _, answer := r.webSocket(config.CodecHTTP2); answer.StatusCode != c.status {
				t.Errorf("%d %v", answer.StatusCode, answer.Header)
			}
			r.logged(c.log)
		})
	}
}

// TestWebSocketUnknownUpstream: a server of HTTP/2 that doesn't announce extended CONNECT is asked for no WebSocket.
func TestWebSocketUnknownUpstream(t *testing.T) {
	for _, codec := range codecs {
		far := newRig(t, nil, func(r *rig) { r.cfg.Codec = config.CodecHTTP2 })
		r := newRig(t, []string{far.address}, func(r *rig) { webSockets(codec)(r); r.protocol = config.UpstreamHTTP2 })
		if _, answer := r.webSocket(codec); answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%d", answer.StatusCode)
		}
		r.logged("503 LR upstream_reset_before_response_started{local_reset}")
	}
}

// TestNoExtendedConnect: without allow_connect nobody is told that there is one.
func TestNoExtendedConnect(t *testing.T) {
	r := newRig(t, nil, func(r *rig) { r.cfg.Codec = config.CodecHTTP2 })
	_, err := r.h2Client().Transport.RoundTrip(&http.Request{
		Method: http.MethodConnect, URL: &url.URL{Scheme: "http", Host: r.address, Path: "/chat"}, Host: "far",
		Header: http.Header{":protocol": {"websocket"}},
	})
	if err == nil || !strings.Contains(err.Error(), "extended connect not supported") {
		t.Errorf("%v", err)
	}
}
