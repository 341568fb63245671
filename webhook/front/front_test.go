package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const patience = 30 * time.Second

// served is a server, and what it tells.
type served struct {
	*Server
	listener *writes
	open     atomic.Int64
	config   *tls.Config // of clients
	log      lines
	ended    chan error
}

func serve(t *testing.T, handler http.HandlerFunc, edit func(*Server)) *served {
	t.Helper()
	certified := httptest.NewTLSServer(nil)
	certificate, roots := certified.TLS.Certificates[0], x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	certified.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{listener: &writes{Listener: listener}, ended: make(chan error, 1),
		config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	s.Server = &Server{KeepAlive: true, Count: func(n int) { s.open.Add(int64(n)) }, HTTP: &http.Server{
		Handler:           handler,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, DynamicRecordSizingDisabled: true},
		ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: patience,
		ErrorLog: log.New(&s.log, "", 0),
	}}
	if edit != nil {
		edit(s.Server)
	}
	go func() { s.ended <- s.Serve(s.listener) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-s.ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		await(t, "all connections are gone", func() bool { return s.open.Load() == 0 })
	})
	return s
}

func await(t *testing.T, what string, test func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !test(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// client keeps connections.
func (s *served) client(t *testing.T) *http.Client {
	transport := &http.Transport{TLSClientConfig: s.config, ExpectContinueTimeout: time.Minute, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func (s *served) url() string { return "https://" + s.listener.Addr().String() + "/a?b=c" }

// dial is a connection of its own.
func (s *served) dial(t *testing.T) (*tls.Conn, *bufio.Reader) {
	t.Helper()
	c, err := tls.Dial("tcp", s.listener.Addr().String(), s.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c, bufio.NewReader(c)
}

type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// writes counts those of all connections.
type writes struct {
	net.Listener
	n atomic.Int32
}

func (l *writes) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &written{c, &l.n}, err
}

type written struct {
	net.Conn
	n *atomic.Int32
}

func (c *written) Write(b []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(b)
}

// sized answers with as many bytes as the body asks for, and says what else it was asked, and by whom.
func sized(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	n, wrong := strconv.Atoi(strings.TrimLeft(string(body), " "))
	if err = errors.Join(err, wrong); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, other := w.(http.Flusher)
	w.Header().Set("X-By", map[bool]string{true: "net/http", false: "front"}[other])
	w.Header().Set("X-Asked", fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("Content-Type"), " ", r.ContentLength))
	w.Header().Set("Content-Length", strconv.Itoa(n))
	_, _ = w.Write(bytes.Repeat([]byte("a"), n))
}

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

// TestConnectionsEnd: after an answer that says so, a body nobody read, or a panic.
func TestConnectionsEnd(t *testing.T) {
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		length  int
		edit    func(*Server)
		status  int // 0: none
	}{
		"the handler wants it": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }, 0, nil, 200},
		"a large body left":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) }, 8 << 20, nil, 413},
		"keep-alive is off":    {func(http.ResponseWriter, *http.Request) {}, 0, func(s *Server) { s.KeepAlive = false; s.HTTP.SetKeepAlivesEnabled(false) }, 200},
		"a panic":              {func(http.ResponseWriter, *http.Request) { panic("oh") }, 0, nil, 0},
	} {
		s := serve(t, row.handler, row.edit)
		c, in := s.dial(t)
		head := strings.Replace(plainHead, ": 12", ": "+strconv.Itoa(row.length), 1)
		if _, err := io.WriteString(c, head+strings.Repeat("a", row.length/100)); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(in, nil)
		if row.status == 0 {
			if err == nil {
				t.Errorf("%s: %s", name, answer.Status)
			}
			await(t, "the panic is told", func() bool { return s.log.has("panic serving") && s.log.has("oh") })
		} else if err != nil || answer.StatusCode != row.status || !answer.Close {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
		await(t, "the connection is gone", func() bool { return s.open.Load() == 0 })
	}
}

// TestSlowClientsAreLeft: each of the times ends a connection.
func TestSlowClientsAreLeft(t *testing.T) {
	one := strings.Replace(plainHead, ": 12", ": 1", 1) + "1"
	for name, row := range map[string]struct {
		send string
		edit func(*http.Server)
	}{
		"no hello":    {"", func(s *http.Server) { s.ReadHeaderTimeout = time.Millisecond }},
		"nothing":     {"", func(s *http.Server) { s.ReadHeaderTimeout = time.Second }},
		"half a head": {plainHead[:40], func(s *http.Server) { s.ReadHeaderTimeout = time.Second }},
		"half a body": {plainHead + "1", func(s *http.Server) { s.ReadTimeout = time.Millisecond }},
		"no second":   {one, func(s *http.Server) { s.IdleTimeout = time.Millisecond }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, sized, func(s *Server) { row.edit(s.HTTP) })
			raw, err := net.Dial("tcp", s.listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			_ = raw.SetDeadline(time.Now().Add(2 * patience))
			if name == "no hello" {
				_, _ = io.Copy(io.Discard, raw)
				return
			}
			config := s.config.Clone()
			config.ServerName = "127.0.0.1"
			c := tls.Client(raw, config)
			_, _ = io.WriteString(c, row.send) // shakes hands, if there's time
			if n, _ := io.Copy(io.Discard, c); n == 0 && strings.HasPrefix(name, "no second") {
				t.Error("no answer")
			}
		})
	}
}

// TestShutdown: a request in work gets its answer, an idle connection ends, nothing new is taken.
func TestShutdown(t *testing.T) {
	for _, field := range []string{"", "X-Other"} {
		began, finish := make(chan struct{}), make(chan struct{})
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				close(began)
				<-finish
			}
			fmt.Fprint(w, "done")
		}, nil)
		idle, idleIn := s.dial(t)
		if _, err := io.WriteString(idle, strings.Replace(plainHead, ": 12", ": 0", 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(idleIn, nil); err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.listener.Addr().String()+"/wait", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		if field != "" {
			request.Header.Set(field, "1")
		}
		answered := make(chan error, 1)
		go func() {
			answer, err := s.client(t).Do(request)
			if err == nil {
				_, err = io.ReadAll(answer.Body)
			}
			answered <- err
		}()
		<-began
		early, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Shutdown(early); !errors.Is(err, context.Canceled) {
			t.Errorf("with a request in work: %v", err)
		}
		_, _ = io.Copy(io.Discard, idleIn) // ends
		if _, err := tls.Dial("tcp", s.listener.Addr().String(), s.config); err == nil {
			t.Error("a new connection is taken")
		}
		close(finish)
		if err := <-answered; err != nil {
			t.Errorf("the request in work: %v", err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
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
