package tcp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

const patience = 20 * time.Second

const lineFormat = "%RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER_RAW% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n"

// rig is a Proxy with one chain to the cluster "c", whose one host is a socket of the test.
type rig struct {
	*Proxy
	t       *testing.T
	start   time.Time
	manager *upstream.Manager
	chain   *config.Chain
	owner   *config.Listener // of chain
	tcp     *config.TCPProxy // of chain
	cluster *config.Cluster  // "c"; change it before the first connection
	down    net.Listener
	up      *net.TCPListener
	store   *telemetry.Store
	logs    *telemetry.Logs
	lines   *lockedBuffer
	apply   sync.Once
	serving sync.WaitGroup
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, start: time.Now(), store: telemetry.NewStore(0, telemetry.Labels{}), lines: &lockedBuffer{}}
	r.manager = upstream.NewManager(upstream.Options{Store: r.store, Tick: -1, OwnPorts: []uint16{}})
	r.logs = telemetry.NewLogs(telemetry.LogOptions{Stdout: r.lines, Flush: time.Millisecond})
	o := Options{Upstream: r.manager, Store: r.store, Logs: r.logs, Now: func() time.Time { return r.start }, Guard: func(f func()) { f() }}
	if change != nil {
		change(&o)
	}
	r.Proxy = New(o)
	r.down, r.up = listen(t), listen(t).(*net.TCPListener)
	r.cluster = r.clusterTo("c", r.up.Addr().String())
	r.tcp = &config.TCPProxy{StatPrefix: "c", Clusters: []config.WeightedCluster{{Name: "c", Weight: 1}}, TotalWeight: 1,
		AccessLogs: []*config.AccessLog{{Format: &config.Format{Source: lineFormat}}}}
	r.chain = &config.Chain{Name: "chain", TCP: r.tcp}
	r.owner = &config.Listener{Name: "listener", Chains: []*config.Chain{r.chain}}
	t.Cleanup(r.stop)
	return r
}

func (r *rig) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r.Close(ctx)
	r.manager.Close()
	r.logs.Close()
	r.down.Close()
	r.up.Close()
	r.serving.Wait()
}

func (r *rig) clusterTo(name string, addresses ...string) *config.Cluster {
	locality := config.Locality{Weight: 1}
	for _, a := range addresses {
		locality.Hosts = append(locality.Hosts, &config.Endpoint{Address: netip.MustParseAddrPort(a), Weight: 1})
	}
	many := config.Breaker{Connections: 1000, Pending: 1000, Requests: 1000, Retries: 3}
	return &config.Cluster{Name: name, Kind: config.StaticHosts, ConnectTimeout: patience, Breakers: [2]config.Breaker{many, many},
		Endpoints: config.NewCell(&config.Endpoints{Localities: []config.Locality{locality}})}
}

// clusters makes these the clusters there are, besides "c".
func (r *rig) clusters(others ...*config.Cluster) {
	r.apply.Do(func() { r.manager.Apply(config.NewRuntime(nil, append(others, r.cluster))) })
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l := sockettest.Listen(t)
	return l
}

// dial opens a connection that the proxy serves as the listener would, behind TLS if the chain wants that.
func (r *rig) dial() *net.TCPConn {
	r.t.Helper()
	r.clusters()
	client, err := net.Dial("tcp4", r.down.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := r.down.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	r.serving.Go(func() { r.serve(conn) })
	_ = client.SetDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { client.Close() })
	return client.(*net.TCPConn)
}

func (r *rig) serve(down net.Conn) {
	c := &stream.Conn{Start: r.start, Listener: r.owner, Chain: r.chain, Remote: addr(down.RemoteAddr()), Local: addr(down.LocalAddr())}
	if r.chain.TLS != nil {
		secure := tls.Server(down, tlsctx.Server(r.chain.TLS))
		if err := secure.Handshake(); err != nil {
			down.Close()
			return
		}
		c.TLS, down = tlsctx.DescribeServer(secure.ConnectionState(), r.chain.TLS), secure
	}
	r.Serve(c, down)
}

func addr(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

// accept returns the proxy's connection to the host.
func (r *rig) accept() *net.TCPConn {
	r.t.Helper()
	_ = r.up.SetDeadline(time.Now().Add(patience))
	conn, err := r.up.AcceptTCP()
	if err != nil {
		r.t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// wantLine waits for the access log to be this line; what is behind it doesn't matter.
func (r *rig) wantLine(want string) {
	r.t.Helper()
	eventually(r.t, "the access log", func() error {
		if got := r.lines.String(); !strings.HasPrefix(got, want) {
			return fmt.Errorf("%q, want %q", got, want)
		}
		return nil
	})
}

func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// wantClosed holds that the proxy has closed the connection.
func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d bytes, %v: not closed", n, err)
	}
}

// leaves holds that the end of data arrives, and ends the other way too.
func leaves(t *testing.T, c net.Conn) {
	t.Helper()
	wantClosed(t, c)
	c.Close()
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("after %d bytes: %v", len(b), err)
	}
	return string(b)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
