package front

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestAnswers: whoever serves a request, the answer is the same, on one connection until something unusual comes. One of
// usual size is one write.
func TestAnswers(t *testing.T) {
	s := serve(t, sized, nil)
	client := s.client(t)
	for i, row := range []struct {
		size   int
		pad    int    // of the request's body
		field  string // of the request
		writes int32  // 0: any number
		by     string
	}{
		{size: 10, by: "front"}, // shakes hands
		{size: 10, writes: 1, by: "front"},
		{size: 0, writes: 1, by: "front"},
		{size: 12000, writes: 1, by: "front"},
		{size: 1 << 20, by: "front"},
		{size: 10, pad: 9000, writes: 1, by: "front"},
		{size: 10, pad: 3 << 20, writes: 1, by: "front"},
		{size: 10, writes: 1, by: "front"},
		{size: 10, field: "X-Other: 1", by: "net/http"},
		{size: 10, by: "net/http"},
		{size: 10, pad: 3 << 20, by: "net/http"},
	} {
		before := s.listener.n.Load()
		text := strings.Repeat(" ", row.pad) + strconv.Itoa(row.size)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url(), strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "text/x")
		if name, value, ok := strings.Cut(row.field, ": "); ok {
			request.Header.Set(name, value)
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || len(body) != row.size || answer.ContentLength != int64(row.size) {
			t.Errorf("%d: status %d, got %d of %d bytes, %v", i, answer.StatusCode, len(body), answer.ContentLength, err)
		}
		if asked := fmt.Sprintf("POST /a?b=c text/x %d", len(text)); answer.Header.Get("X-Asked") != asked {
			t.Errorf("%d: asked %q, want %q", i, answer.Header.Get("X-Asked"), asked)
		}
		if by := answer.Header.Get("X-By"); by != row.by {
			t.Errorf("%d: answered by %s, want %s", i, by, row.by)
		}
		if _, err := http.ParseTime(answer.Header.Get("Date")); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		if n := s.listener.n.Load() - before; row.writes > 0 && n != row.writes {
			t.Errorf("%d: %d writes, want %d", i, n, row.writes)
		}
	}
	if n := s.open.Load(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

// TestUnusualRequests: net/http has them from their first byte.
func TestUnusualRequests(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Method, body)
	}, nil)
	for text, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                                                  "GET ",
		"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab":                                                     "POST ab",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n":               "POST ab",
		"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 2\r\n\r\nab":                                          "POST ab",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX: " + strings.Repeat("x", 20000) + "\r\n\r\nab": "POST ab",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab":                     "400 Bad Request",
		"nonsense\r\n\r\n": "400 Bad Request",
	} {
		c, in := s.dial(t)
		for _, piece := range []string{text[:5], text[5:]} {
			if _, err := io.WriteString(c, piece); err != nil {
				t.Fatal(err)
			}
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Errorf("%.40q: %v", text, err)
			continue
		}
		if body, err := io.ReadAll(answer.Body); err != nil || !strings.HasPrefix(string(body), want) {
			t.Errorf("%.40q: %q, %v", text, body, err)
		}
		_ = c.Close()
	}
}

// TestPieces: a request may come byte by byte, and the next one with its end.
func TestPieces(t *testing.T) {
	s := serve(t, sized, nil)
	c, in := s.dial(t)
	text := strings.Replace(plainHead, ": 12", ": 1", 1) + "7"
	for i := range len(text) - 1 {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(c, "7"+text+text); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(answer.Body); string(body) != "aaaaaaa" || answer.Header.Get("X-By") != "front" {
			t.Errorf("%q by %s", body, answer.Header.Get("X-By"))
		}
	}
}

// TestHandshakes that fail are told as net/http tells them, and see the connection's context.
func TestHandshakes(t *testing.T) {
	type key struct{}
	var seen atomic.Pointer[string]
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Context().Value(key{})) }, func(s *Server) {
		s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return context.WithValue(ctx, key{}, "mine") }
		s.HTTP.TLSConfig.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			text, _ := hello.Context().Value(key{}).(string)
			seen.Store(&text)
			return nil, nil
		}
	})
	for _, body := range []io.Reader{strings.NewReader("1"), io.MultiReader(strings.NewReader("1"))} { // the second in chunks
		answer, err := s.client(t).Post(s.url(), "text/x", body)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(answer.Body); string(text) != "mine" || *seen.Load() != "mine" {
			t.Errorf("the handler sees %q, the handshake %q", text, *seen.Load())
		}
		_ = answer.Body.Close()
	}
	if c, err := tls.Dial("tcp", s.listener.Addr().String(), &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}); err == nil {
		_ = c.Close()
		t.Error("a client without our roots is served")
	}
	await(t, "it is told", func() bool { return s.log.has("http: TLS handshake error from 127.0.0.1:") })
	answer, err := http.Post("http://"+s.listener.Addr().String(), "text/x", nil)
	if err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS: %v, %v", answer, err)
	}
	if answer != nil {
		_ = answer.Body.Close()
	}
}

// TestManyAtOnce: answers don't get mixed up.
func TestManyAtOnce(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }, nil)
	client := s.client(t)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 50 {
				want := strings.Repeat(fmt.Sprintf("%d,%d;", i, j), 1+j*30)
				answer, err := client.Post(s.url(), "text/x", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(answer.Body)
				_ = answer.Body.Close()
				if err != nil || string(got) != want {
					t.Errorf("%d,%d: got %d bytes, want %d, %v", i, j, len(got), len(want), err)
				}
			}
		})
	}
	wait.Wait()
}

// TestMine: handlers that want to be told when their caller goes are net/http's to call.
func TestMine(t *testing.T) {
	began, told := make(chan struct{}), make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(began)
		<-r.Context().Done()
		close(told)
	}, func(s *Server) { s.Mine = func(path string) bool { return path != "/theirs" } })
	c, _ := s.dial(t)
	if _, err := io.WriteString(c, strings.NewReplacer("/inject/injector/default", "/theirs", ": 12", ": 0").Replace(plainHead)); err != nil {
		t.Fatal(err)
	}
	<-began
	_ = c.Close()
	<-told
}
