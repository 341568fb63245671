package front

import (
	"bufio"
	"bytes"
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
