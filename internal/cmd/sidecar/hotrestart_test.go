package sidecar

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-mesh/pillion/internal/agent/control"
)

const hotBootstrap = `{"node": {"id": "n", "cluster": "c"}, "static_resources": {
  "listeners": [{"name": "own", "traffic_direction": "INBOUND", "address": {"socket_address": {"address": "127.0.0.1", "port_value": %d}},
    "filter_chains": [{"filters": [{"name": "http", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "own",
      "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
      "http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}],
  "clusters": [{"name": "app", "type": "STATIC", "connect_timeout": "20s", "load_assignment": {"cluster_name": "app",
    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": %d}}}}]}]}}]}}`

// TestHotRestart: a second proxy takes the sockets over while clients make requests, over kept and new connections of
// both versions of HTTP. No request fails, and the first proxy ends when its last connection has.
func TestHotRestart(t *testing.T) {
	app, front := listenLocal(t), listenLocal(t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}), ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(app) }()
	t.Cleanup(func() { server.Close() })
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, hotBootstrap, portOf(front), portOf(app)), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := front.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	own := control.BindName(front.Addr().(*net.TCPAddr).AddrPort())
	how := epochs{args: []string{"-c", file, "--drain-time-s=1"}, sockets: map[string]*os.File{own: socket}, start: (*exec.Cmd).Start}
	old := how.begin(t, 0)
	old.accept()
	load := startRequests(t, front.Addr().String())
	for n := range 3 {
		load.more()
		next := how.begin(t, n+1)
		next.accept()
		load.more()
		old.send(control.Message{Type: control.Drain, DeadlineMillis: 60_000})
		old.ends()
		load.more()
		old = next
	}
	load.stop()
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func portOf(l net.Listener) uint16 { return l.Addr().(*net.TCPAddr).AddrPort().Port() }

// requests are clients that make requests until they are stopped. None makes a failed one again.
type requests struct {
	t       *testing.T
	address string
	kinds   []*atomic.Int64 // requests that were answered, by kind of client
	over    atomic.Bool
	running sync.WaitGroup
}

func startRequests(t *testing.T, address string) *requests {
	l := &requests{t: t, address: address}
	for _, kind := range []func() client{l.kept, l.fresh, l.kept2, l.fresh2} {
		answered := new(atomic.Int64)
		l.kinds = append(l.kinds, answered)
		for range 2 {
			l.running.Go(func() { l.run(kind(), answered) })
		}
	}
	t.Cleanup(l.stop)
	return l
}

func (l *requests) run(c client, answered *atomic.Int64) {
	defer c.end()
	for !l.over.Load() {
		if err := c.request(); err != nil {
			l.t.Errorf("a request failed: %v", err)
			return
		}
		answered.Add(1)
	}
}

// more waits until clients of each kind have made more requests.
func (l *requests) more() {
	l.t.Helper()
	for kind, answered := range l.kinds {
		want := answered.Load() + 20
		eventually(l.t, "requests", func() error {
			if n := answered.Load(); n < want && !l.t.Failed() {
				return fmt.Errorf("%d of %d of kind %d", n, want, kind)
			}
			return nil
		})
	}
	if l.t.Failed() {
		l.t.FailNow()
	}
}

func (l *requests) stop() {
	l.over.Store(true)
	l.running.Wait()
}

// client makes one request after the other.
type client struct {
	request func() error
	end     func()
}

const asked = "hello"

// kept keeps its connection until an answer says that it was the last.
func (l *requests) kept() client {
	var conn net.Conn
	var answers *bufio.Reader
	end := func() {
		if conn != nil {
			conn.Close()
			conn = nil
		}
	}
	return client{func() (err error) {
		if conn == nil {
			if conn, err = l.dial(); err != nil {
				return err
			}
			answers = bufio.NewReader(conn)
		}
		last, err := one(conn, answers)
		if last {
			end()
		}
		return err
	}, end}
}

// fresh has a connection for each request.
func (l *requests) fresh() client {
	return client{func() error {
		conn, err := l.dial()
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = one(conn, bufio.NewReader(conn))
		return err
	}, func() {}}
}

func (l *requests) dial() (net.Conn, error) {
	conn, err := net.Dial("tcp4", l.address)
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(3 * patience))
	}
	return conn, err
}

// one makes a request of HTTP/1.1 and reports whether the answer is the connection's last.
func one(conn net.Conn, answers *bufio.Reader) (last bool, err error) {
	if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(asked), asked); err != nil {
		return false, err
	}
	answer, err := http.ReadResponse(answers, nil)
	if err != nil {
		return false, err
	}
	return answer.Close, checkEcho(answer)
}

func checkEcho(answer *http.Response) error {
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || string(body) != asked) {
		err = fmt.Errorf("answer %d %q", answer.StatusCode, body)
	}
	return err
}

// kept2 is HTTP/2, whose transport opens another connection when GOAWAY has come.
func (l *requests) kept2() client {
	transport := l.transport()
	return client{func() error { return overHTTP2(transport) }, transport.CloseIdleConnections}
}

func (l *requests) fresh2() client {
	return client{func() error {
		transport := l.transport()
		defer transport.CloseIdleConnections()
		return overHTTP2(transport)
	}, func() {}}
}

func (l *requests) transport() *http2.Transport {
	return &http2.Transport{AllowHTTP: true, DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) { return l.dial() }}
}

func overHTTP2(transport *http2.Transport) error {
	request, err := http.NewRequest(http.MethodPost, "http://a/", strings.NewReader(asked))
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	return checkEcho(answer)
}
