package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

const patient = 20 * time.Second

// rig is an engine on a loopback socket before some backends.
type rig struct {
	t        testing.TB
	engine   *Engine
	tap      *telemetry.Tap
	manager  *upstream.Manager
	store    *telemetry.Store
	address  string
	cfg      *config.HTTPManager
	route    *config.Route
	table    *config.RouteTable
	breaker  *config.Breaker // instead of the usual one
	extra    []*config.Cluster
	protocol config.UpstreamProtocol
	secure   *tls.Config // of the socket; nil: plaintext

	mu  sync.Mutex
	log bytes.Buffer

	listener net.Listener
	conns    sync.WaitGroup
}

func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

// cluster is a cluster of fixed hosts.
func cluster(name string, hosts ...string) *config.Cluster {
	e := &config.Endpoints{}
	e.Localities = []config.Locality{{}}
	for _, h := range hosts {
		e.Localities[0].Hosts = append(e.Localities[0].Hosts, &config.Endpoint{Address: netip.MustParseAddrPort(h)})
	}
	breaker := config.Breaker{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3}
	return &config.Cluster{
		Name: name, Kind: config.StaticHosts, Endpoints: config.NewCell(e), ConnectTimeout: 5 * time.Second,
		Breakers: [2]config.Breaker{breaker, breaker}, HTTP: config.UpstreamHTTP{IdleTimeout: time.Hour},
	}
}

// newRig starts an engine whose only route goes to the cluster "backend" of those hosts. change comes first.
func newRig(t testing.TB, hosts []string, change func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, store: telemetry.NewStore(0, telemetry.Labels{})}
	r.route = &config.Route{Match: config.RouteMatch{Path: "/"}, Forward: &config.Forward{Cluster: "backend"}}
	r.table = &config.RouteTable{VirtualHosts: []*config.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*config.Route{r.route}}}}
	r.cfg = &config.HTTPManager{
		StatPrefix: "test", Routes: config.NewCell(r.table), ServerHeader: config.ServerPassThrough,
		Upgrades: map[string]bool{"websocket": true}, AcceptHTTP10: true, DefaultHostHTTP10: "old",
		IdleTimeout: time.Hour, StreamIdleTimeout: 5 * time.Minute,
		AccessLogs: []*config.AccessLog{{Path: "/dev/stdout", Format: &config.Format{Source: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT%\n"}}},
	}
	r.manager = upstream.NewManager(upstream.Options{Store: r.store})
	logs := telemetry.NewLogs(telemetry.LogOptions{Stdout: r, Flush: time.Millisecond})
	r.tap = telemetry.NewTap(time.Now)
	r.engine = New(Options{Upstreams: r.manager, Store: r.store, Logs: logs, Tap: r.tap, CloseAfter: time.Hour})
	clusters := []*config.Cluster{cluster("backend", hosts...)}
	if change != nil {
		change(r)
	}
	if r.breaker != nil {
		clusters[0].Breakers[0] = *r.breaker
	}
	clusters[0].HTTP.Protocol = r.protocol
	clusters = append(clusters, r.extra...)
	r.manager.Apply(config.NewRuntime(nil, clusters))
	r.listen()
	t.Cleanup(func() {
		r.listener.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		r.engine.Close(ctx)
		r.conns.Wait()
		r.manager.Close()
		logs.Close()
	})
	return r
}

func (r *rig) listen() {
	l := sockettest.Listen(r.t)
	r.listener, r.address = l, l.Addr().String()
	r.conns.Go(func() { // so that waiting never begins while one more is added
		for id := uint64(1); ; id++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			down := conn
			if r.secure != nil {
				down = tls.Server(conn, r.secure)
			}
			r.conns.Go(func() {
				if secure, ok := down.(*tls.Conn); ok {
					_ = secure.Handshake() // as the listener does
				}
				r.engine.ServeOrPark(&stream.Conn{
					ID: id, Start: time.Now(), Listener: &config.Listener{Name: "l"}, Chain: &config.Chain{HTTP: r.cfg},
					Remote: conn.RemoteAddr().(*net.TCPAddr).AddrPort(), Local: conn.LocalAddr().(*net.TCPAddr).AddrPort(),
				}, down, func(f func() bool) { r.conns.Go(func() { f() }) })
			})
		}
	})
}

// logged waits for a log line that has all of want.
func (r *rig) logged(want string) {
	r.t.Helper()
	eventually(r.t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return strings.Contains(r.log.String(), want)
	}, func() string { return fmt.Sprintf("no log line with %q in\n%s", want, r.log.String()) })
}

func eventually(t testing.TB, ok func() bool, tell func() string) {
	t.Helper()
	for end := time.Now().Add(patient); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal(tell())
}

// served is an HTTP server of net/http, for both versions.
func served(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	l := sockettest.Listen(t)
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// scripted is a server that does with each connection what the test says.
func scripted(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l := sockettest.Listen(t)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patient))
				serve(conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String()
}

// client is a client of net/http.
func (r *rig) client() *http.Client {
	transport := &http.Transport{DisableCompression: true}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patient, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get sends a request by client and returns status and body.
func (r *rig) do(client *http.Client, method, path, body string) (*http.Response, string) {
	r.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+r.address+path, reader)
	if err != nil {
		r.t.Fatal(err)
	}
	answer, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer, string(text)
}

// raw is a connection to the engine for bytes as the test has them.
func (r *rig) raw() net.Conn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patient))
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// settled asserts that goroutines and descriptors are back to what they were when it was called.
func settled(t testing.TB) (check func()) {
	t.Helper()
	goroutines, descriptors := runtime.NumGoroutine(), openFiles()
	return func() {
		t.Helper()
		eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines && openFiles() <= descriptors }, func() string {
			stacks := make([]byte, 1<<16)
			return fmt.Sprintf("%d goroutines of %d, %d descriptors of %d\n%s", runtime.NumGoroutine(), goroutines,
				openFiles(), descriptors, stacks[:runtime.Stack(stacks, true)])
		})
	}
}

func openFiles() int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(files)
}

// choiceOfAny picks any host.
var choiceOfAny upstream.Choice
