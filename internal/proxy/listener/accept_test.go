package listener

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx/tlstest"
)

const patience = 20 * time.Second

// arrival is a connection as an engine gets it, with all it reads.
type arrival struct {
	engine string
	conn   *stream.Conn
	bytes  string
}

// rig is an Acceptor on a loopback socket, for the listener "l". There is no netfilter here: where a connection was
// going is what the test says.
type rig struct {
	*Acceptor
	t       *testing.T
	runtime atomic.Pointer[config.Runtime]
	dst     atomic.Pointer[netip.AddrPort]
	socket  *socket.Listener
	arrived chan arrival
	name    string // of the listener; "l"
	begin   sync.Once
	lines   *lockedBuffer
	stats   *telemetry.Listener
	start   func()
	stop    func()
}

func neverParked(engine func(*stream.Conn, net.Conn)) func(*stream.Conn, net.Conn, func(func() bool)) bool {
	return func(c *stream.Conn, down net.Conn, _ func(func() bool)) bool {
		engine(c, down)
		return false
	}
}

func newRig(t *testing.T, listeners ...*config.Listener) *rig {
	t.Helper()
	l := sockettest.Listen(t)
	on, err := socket.Listen(l)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, socket: on, arrived: make(chan arrival, 16), lines: &lockedBuffer{}}
	r.use(listeners...)
	r.goingTo("10.0.0.1:80")
	store := telemetry.NewStore(0, telemetry.Labels{})
	logs := telemetry.NewLogs(telemetry.LogOptions{Stdout: r.lines, Flush: time.Millisecond})
	r.stats = store.Listener(l.Addr().String())
	r.Acceptor = New(Options{
		Runtime: &r.runtime, Store: store, Logs: logs, MaxConns: 100, Now: time.Now, Guard: func(f func()) { f() },
		OriginalDst: func(*socket.Conn) (netip.AddrPort, error) { return *r.dst.Load(), nil },
		TCP:         r.engine("tcp"), HTTP: neverParked(r.engine("http")),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	r.name = "l"
	r.start = func() { // with the first connection: until then a test may change options
		loop.Go(func() {
			if err := r.Run(ctx, r.socket, r.name); err != nil {
				t.Error(err)
			}
		})
	}
	r.stop = sync.OnceFunc(func() { cancel(); loop.Wait(); r.Wait(); logs.Close(); r.socket.Close() })
	t.Cleanup(r.stop)
	return r
}

func (r *rig) use(listeners ...*config.Listener) { r.runtime.Store(config.NewRuntime(listeners, nil)) }

func (r *rig) goingTo(address string) {
	dst := netip.MustParseAddrPort(address)
	r.dst.Store(&dst)
}

// engine says at once that a connection has come, then reads it to its end.
func (r *rig) engine(name string) func(*stream.Conn, net.Conn) {
	return func(c *stream.Conn, conn net.Conn) {
		_ = conn.SetDeadline(time.Now().Add(patience))
		r.arrived <- arrival{engine: name, conn: c}
		b, _ := io.ReadAll(conn)
		r.arrived <- arrival{engine: name, conn: c, bytes: string(b)}
	}
}

func (r *rig) dial() *net.TCPConn {
	r.t.Helper()
	r.begin.Do(r.start)
	c, err := net.Dial("tcp4", r.socket.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func (r *rig) next() arrival {
	r.t.Helper()
	select {
	case a := <-r.arrived:
		return a
	case <-time.After(patience):
		r.t.Fatal("no connection reached an engine")
		return arrival{}
	}
}

// wantChain holds that the connection reached that chain, and what was read of it in the end.
func (r *rig) wantChain(c *net.TCPConn, chain, bytes string) *stream.Conn {
	r.t.Helper()
	first := r.next()
	if first.conn.Chain.Name != chain {
		r.t.Errorf("chain %s, want %s", first.conn.Chain.Name, chain)
	}
	_ = c.CloseWrite()
	if last := r.next(); last.bytes != bytes {
		r.t.Errorf("%d bytes reached the engine: %.60q, want %.60q", len(last.bytes), last.bytes, bytes)
	}
	return first.conn
}

func tcpChain(name string, m config.ChainMatch) *config.Chain {
	return &config.Chain{Name: name, Match: m, TCP: &config.TCPProxy{}}
}

func httpChain(name string, m config.ChainMatch) *config.Chain {
	return &config.Chain{Name: name, Match: m, HTTP: &config.HTTPManager{}}
}

// inspecting is a listener that tells TLS, HTTP and the rest apart.
func inspecting() *config.Listener {
	return &config.Listener{
		Name: "l", Inspectors: []config.Inspector{{Kind: config.TLSInspector}, {Kind: config.HTTPInspector}},
		Chains: []*config.Chain{
			tcpChain("tls", config.ChainMatch{TransportProtocol: TransportTLS}),
			httpChain("http", config.ChainMatch{TransportProtocol: TransportRaw, ApplicationProtocols: []string{"http/1.0", "http/1.1", "h2c"}}),
			tcpChain("raw", config.ChainMatch{TransportProtocol: TransportRaw}),
		},
	}
}

func TestInspects(t *testing.T) {
	hello := clientHello(t, &tls.Config{ServerName: "Shop.example", NextProtos: []string{"h2"}})
	large := clientHello(t, &tls.Config{ServerName: "shop.example", NextProtos: manyProtocols(240)})
	for _, c := range []struct{ name, bytes, chain, engine, sni string }{
		{"TLS", string(hello), "tls", "tcp", "shop.example"},
		{"TLS of 59 KiB", string(large), "tls", "tcp", "shop.example"},
		{"HTTP/1.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http", "http", ""},
		{"HTTP/2", http2Preface, "http", "http", ""},
		{"memcached", "get key\r\n", "raw", "tcp", ""},
		{"redis", "*1\r\n$4\r\nPING\r\n", "raw", "tcp", ""},
		{"a line too long", "GET /" + strings.Repeat("a", maxRequestLine), "raw", "tcp", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, inspecting())
			client := r.dial()
			go func() { _, _ = client.Write([]byte(c.bytes)) }()
			conn := r.wantChain(client, c.chain, c.bytes)
			if conn.SNI != c.sni {
				t.Errorf("server name %q", conn.SNI)
			}
		})
	}
}

// TestInPieces: the first bytes come one by one, each in a packet of its own, and the engine gets all of them.
func TestInPieces(t *testing.T) {
	hello := string(fragmented(clientHello(t, &tls.Config{ServerName: "shop.example"}), 30))
	for chain, bytes := range map[string]string{"tls": hello, "http": "GET / HTTP/1.1\r\n"} {
		r := newRig(t, inspecting())
		client := r.dial()
		_ = client.SetNoDelay(true)
		go func() {
			for i := range len(bytes) {
				_, _ = client.Write([]byte(bytes[i : i+1]))
				runtime.Gosched()
			}
		}()
		r.wantChain(client, chain, bytes)
	}
}

// TestEndsEarly: a client that half-closes before an inspector knows is carried by what is known, with all its bytes.
func TestEndsEarly(t *testing.T) {
	hello := clientHello(t, &tls.Config{ServerName: "a.b"})
	for _, bytes := range []string{"", "G", "GET / HT", "PRI *", string(hello[:100])} {
		r := newRig(t, inspecting())
		client := r.dial()
		if _, err := client.Write([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		_ = client.CloseWrite()
		r.wantChain(client, "raw", bytes)
	}
}

// TestTimeout: a silent client is closed, or carried on with what is known.
func TestTimeout(t *testing.T) {
	l := inspecting()
	l.InspectTimeout = time.Millisecond
	r := newRig(t, l)
	wantClosed(t, r.dial())
	if n := r.stats.PreCxTimeout.Load(); n != 1 {
		t.Errorf("%d timeouts", n)
	}
	on := inspecting()
	on.InspectTimeout, on.ContinueOnTimeout = time.Millisecond, true
	r.use(on)
	client := r.dial()
	if first := r.next(); first.conn.Chain.Name != "raw" {
		t.Errorf("chain %s", first.conn.Chain.Name)
	}
	_, _ = client.Write([]byte("late"))
	_ = client.CloseWrite()
	if last := r.next(); last.bytes != "late" {
		t.Errorf("%q: the deadline stayed", last.bytes)
	}
}

// TestNotInspected: nobody waits for a client's first bytes if nobody uses them.
func TestNotInspected(t *testing.T) {
	plain := &config.Listener{Name: "l", Inspectors: inspecting().Inspectors, Chains: []*config.Chain{tcpChain("port", config.ChainMatch{DestinationPort: 80})},
		Default: tcpChain("default", config.ChainMatch{})}
	other := inspecting()
	for _, c := range other.Chains {
		c.Match.DestinationPort = 443
	}
	other.Default = tcpChain("default", config.ChainMatch{})
	disabled := inspecting()
	for i := range disabled.Inspectors {
		disabled.Inspectors[i].Disabled = &config.PortMatch{Range: &config.PortRange{Start: 80, End: 81}}
	}
	for _, c := range []struct {
		name, chain string
		l           *config.Listener
	}{{"no chain asks", "port", plain}, {"only chains of another port ask", "default", other}, {"filter_disabled", "raw", disabled}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.l)
			r.wantChain(r.dial(), c.chain, "")
		})
	}
}

// TestServerNameIsLogged: a log that shows the server name is a reason to look for it.
func TestServerNameIsLogged(t *testing.T) {
	l := &config.Listener{Name: "l", Inspectors: inspecting().Inspectors, Default: tcpChain("default", config.ChainMatch{})}
	if c := Compile(l, nil); c.inspectors(80) != 0 {
		t.Error("inspected for nobody")
	}
	l.Default.TCP.AccessLogs = []*config.AccessLog{{Format: &config.Format{JSON: []config.FormatField{{Key: "a", Fields: []config.FormatField{{Source: "%REQUESTED_SERVER_NAME%"}}}}}}}
	if c := Compile(l, nil); c.inspectors(80) != needTLS {
		t.Error("the log's server name isn't looked for")
	}
	l.Default.TCP.AccessLogs = nil
	l.Default.Filters = []config.NetworkFilter{{Config: &config.RBAC{Rules: &config.RBACRules{Policies: []config.RBACPolicy{{
		Permissions: []*config.Rule{{Kind: config.RuleNot, Rules: []*config.Rule{{Kind: config.RuleServerName}}}}}}}}}}
	if c := Compile(l, nil); c.inspectors(80) != needTLS {
		t.Error("the rule's server name isn't looked for")
	}
}

// TestHandOff is section 4.2: exact address, then the port on all addresses, else the listener itself.
func TestHandOff(t *testing.T) {
	own := tcpChain("own", config.ChainMatch{})
	virtual := func(name string, addresses ...string) *config.Listener {
		l := &config.Listener{Name: name, Default: tcpChain(name, config.ChainMatch{})}
		for _, a := range addresses {
			l.Addresses = append(l.Addresses, netip.MustParseAddrPort(a))
		}
		return l
	}
	both := virtual("both", "[::]:81")
	both.IPv4Compat = true
	hidden := virtual("hidden", "[::]:80")
	hidden.IPv4Compat = true
	listeners := []*config.Listener{
		{Name: "l", HandOff: true, Addresses: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:15001")}, Default: own},
		virtual("exact", "10.0.0.1:80", "[fd00::1]:80"), virtual("v4", "0.0.0.0:80"), both, hidden,
		virtual("stats", "0.0.0.0:15090"), virtual("bound", "10.0.0.1:15090"),
		{Name: config.VirtualInbound, Addresses: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:15006")}, Default: tcpChain("inbound", config.ChainMatch{})},
	}
	table := NewTable(config.NewRuntime(listeners, nil), nil)
	for dst, want := range map[string]string{
		"10.0.0.1:80": "exact", "10.0.0.2:80": "v4", "[fd00::1]:80": "exact", "[fd00::2]:80": "hidden",
		"10.0.0.1:81": "both", "[fd00::2]:81": "both", "10.0.0.1:82": "l", "10.0.0.2:15090": "l", "10.0.0.1:15090": "bound",
		"10.0.0.2:15006": "l", "10.0.0.2:15001": "l",
	} {
		trace := &stream.Trace{}
		if got := table.HandOff(table.Listener("l"), netip.MustParseAddrPort(dst), trace); got.Config.Name != want || len(trace.Steps) != 1 {
			t.Errorf("%s: %s, want %s %v", dst, got.Config.Name, want, trace.Steps)
		}
	}
	inbound := table.Listener(config.VirtualInbound)
	if got := table.HandOff(inbound, netip.MustParseAddrPort("10.0.0.1:80"), nil); got != inbound {
		t.Errorf("15006 hands off to %s", got.Config.Name)
	}
	r := newRig(t, listeners...)
	r.goingTo("10.0.0.1:80")
	if c := r.wantChain(r.dial(), "exact", ""); c.Listener.Name != "exact" || c.Local.String() != "10.0.0.1:80" {
		t.Errorf("listener %s, local %s", c.Listener.Name, c.Local)
	}
}

// TestTLSChain: the engine gets a connection behind TLS and knows who is there.
func TestTLSChain(t *testing.T) {
	a := tlstest.NewAuthority(t, "mesh")
	cell := func(id string) []*config.Cell[config.Certificate] {
		return []*config.Cell[config.Certificate]{config.NewCell(a.Workload(t, id))}
	}
	server := &config.ServerTLS{RequireClient: true, TLSParams: config.TLSParams{Certificates: cell("spiffe://m/b"), Trust: config.NewCell(a.Trust()), ALPN: []string{"istio"}}}
	l := inspecting()
	l.Chains[0].TLS = server
	l.AccessLogs = []*config.AccessLog{{Format: &config.Format{Source: "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n"}}}
	r := newRig(t, l)
	params := &config.ClientTLS{SNI: "shop", TLSParams: config.TLSParams{Certificates: cell("spiffe://m/a"), Trust: config.NewCell(a.Trust()), ALPN: []string{"istio"}}}
	client := tls.Client(r.dial(), tlsctx.Client(params, tlsctx.ClientOptions{}))
	if _, err := client.Write([]byte("secret")); err != nil {
		t.Fatal(err)
	}
	first := r.next()
	_ = client.CloseWrite()
	if last := r.next(); last.bytes != "secret" || first.conn.Principal() != "spiffe://m/a" || first.conn.TLS.ALPN != "istio" ||
		!first.conn.TLS.Mutual || first.conn.SNI != "shop" || !slices.Equal(first.conn.ALPN, []string{"istio"}) {
		t.Errorf("%q of %+v", last.bytes, first.conn.TLS)
	}
	client.Close()
	stranger := &config.ClientTLS{TLSParams: config.TLSParams{Trust: config.NewCell(a.Trust())}}
	refused := tls.Client(r.dial(), tlsctx.Client(stranger, tlsctx.ClientOptions{}))
	if _, err := refused.Read(make([]byte, 1)); err == nil {
		t.Error("let in without a certificate")
	}
	eventually(t, "the reason in the log", func() error {
		if !strings.Contains(r.lines.String(), "TLS_error:client_didn't_provide_a_certificate") {
			return errors.New(r.lines.String())
		}
		return nil
	})
	if n := r.stats.TLS.Handshake.Load(); n != 1 {
		t.Errorf("%d handshakes counted", n)
	}
}

// TestHandshakeTimeout: a client that never finishes is closed.
func TestHandshakeTimeout(t *testing.T) {
	a := tlstest.NewAuthority(t, "mesh")
	chain := tcpChain("tls", config.ChainMatch{})
	chain.HandshakeTimeout = time.Millisecond
	chain.TLS = &config.ServerTLS{TLSParams: config.TLSParams{Certificates: []*config.Cell[config.Certificate]{config.NewCell(a.Workload(t, "spiffe://m/b"))}}}
	r := newRig(t, &config.Listener{Name: "l", Default: chain})
	wantClosed(t, r.dial())
	if n := r.stats.HandshakeTimeout.Load(); n != 1 {
		t.Errorf("%d timeouts", n)
	}
}

// TestNoChain: nothing fits, the connection is closed and logged.
func TestNoChain(t *testing.T) {
	r := newRig(t, &config.Listener{Name: "l", Chains: []*config.Chain{tcpChain("443", config.ChainMatch{DestinationPort: 443})},
		AccessLogs: []*config.AccessLog{{Format: &config.Format{Source: "%RESPONSE_FLAGS% %DOWNSTREAM_LOCAL_ADDRESS%\n"}}}})
	wantClosed(t, r.dial())
	eventually(t, "the log", func() error {
		if got := r.lines.String(); got != "NR 10.0.0.1:80\n" {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	if n := r.stats.NoFilterChain.Load(); n != 1 {
		t.Errorf("%d counted", n)
	}
}

// TestBothWays: where both ways come into one socket, destinations of this pod are inbound.
func TestBothWays(t *testing.T) {
	r := newRig(t, &config.Listener{Name: "l", HandOff: true, Default: tcpChain("outbound", config.ChainMatch{})},
		&config.Listener{Name: config.VirtualInbound, Direction: config.Inbound, Default: tcpChain("inbound", config.ChainMatch{})})
	own := netip.MustParseAddr("10.0.0.1")
	r.Inbound = func(dst netip.AddrPort) bool { return dst.Addr() == own }
	if c := r.wantChain(r.dial(), "inbound", ""); c.Direction != config.Inbound {
		t.Error("inbound traffic goes out")
	}
	r.goingTo("10.0.0.2:80")
	r.wantChain(r.dial(), "outbound", "")
}

// TestProof: a probe of capture gives its nonce, reaches no chain and is closed. On another port it is nothing special.
func TestProof(t *testing.T) {
	r := newRig(t, &config.Listener{Name: config.VirtualInbound, Default: tcpChain("inbound", config.ChainMatch{})})
	r.name = config.VirtualInbound
	type proof struct {
		nonce [ProofBytes]byte
		dst   netip.AddrPort
	}
	proofs := make(chan proof, 1)
	r.Proof = func(nonce [ProofBytes]byte, dst netip.AddrPort) { proofs <- proof{nonce, dst} }
	r.goingTo("10.0.0.1:15002")
	client := r.dial()
	if _, err := client.Write([]byte("0123456789abcdef")); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, client)
	if got := <-proofs; string(got.nonce[:]) != "0123456789abcdef" || got.dst.String() != "10.0.0.1:15002" {
		t.Errorf("%+v", got)
	}
	short := r.dial()
	_ = short.CloseWrite()
	wantClosed(t, short)
	r.goingTo("10.0.0.1:80")
	r.wantChain(r.dial(), "inbound", "")
	if len(proofs) != 0 {
		t.Error("a proof without a nonce")
	}
}

// TestUpdates: an update closes nothing, and what didn't change keeps what it was compiled to.
func TestUpdates(t *testing.T) {
	kept := &config.Listener{Name: "kept", Addresses: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80")}, Default: tcpChain("kept", config.ChainMatch{})}
	first := &config.Listener{Name: "l", Default: tcpChain("old", config.ChainMatch{})}
	r := newRig(t, first, kept)
	old := r.Table()
	client := r.dial()
	r.next()
	second := &config.Listener{Name: "l", Default: tcpChain("new", config.ChainMatch{})}
	r.use(second, kept)
	table := r.Table()
	if table == old || table.Listener("kept") != old.Listener("kept") || table.Listener("l") == old.Listener("l") || table != r.Table() {
		t.Error("the table isn't what the update makes of it")
	}
	r.wantChain(r.dial(), "new", "")
	r.use()
	wantClosed(t, r.dial())
	if _, err := client.Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	_ = client.CloseWrite()
	if last := r.next(); last.bytes != "still here" || last.conn.Chain.Name != "old" {
		t.Errorf("%q on %s", last.bytes, last.conn.Chain.Name)
	}
}

// TestStops: connections that wait for their first bytes or their handshake end with the acceptor, and nothing is left.
func TestStops(t *testing.T) {
	goroutines, fds := runtime.NumGoroutine(), countFDs(t)
	t.Run("waiting", func(t *testing.T) {
		a := tlstest.NewAuthority(t, "mesh")
		l := inspecting()
		l.Chains[0].TLS = &config.ServerTLS{TLSParams: config.TLSParams{Certificates: []*config.Cell[config.Certificate]{config.NewCell(a.Workload(t, "spiffe://m/b"))}}}
		r := newRig(t, l)
		silent, shaking := r.dial(), r.dial()
		if _, err := shaking.Write(clientHello(t, &tls.Config{ServerName: "a"})); err != nil {
			t.Fatal(err)
		}
		if _, err := shaking.Read(make([]byte, 1)); err != nil { // the server's hello: it is shaking hands now
			t.Fatal(err)
		}
		r.stop()
		wantClosed(t, silent)
		_, _ = io.Copy(io.Discard, shaking)
	})
	eventually(t, "goroutines and descriptors", func() error {
		if g, f := runtime.NumGoroutine(), countFDs(t); g > goroutines || f > fds {
			return fmt.Errorf("%d goroutines and %d descriptors, there were %d and %d", g, f, goroutines, fds)
		}
		return nil
	})
}

func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v: not closed", n, err)
	}
}

func countFDs(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
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
