package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serveEcho(l)
	return l
}

func serveEcho(l net.Listener) {
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
}

func at(l net.Listener) netip.AddrPort { return netip.MustParseAddrPort(l.Addr().String()) }

// connected fails unless what is written comes back.
func connected(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Error(err)
		return
	}
	var got [4]byte
	if _, err := io.ReadFull(c, got[:]); err != nil || string(got[:]) != "ping" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestDial(t *testing.T) {
	v4, v6 := echo(t, "tcp4", sockettest.Any()), echo(t, "tcp6", "[::1]:0")
	pipe := filepath.Join(t.TempDir(), "s")
	echo(t, "unix", pipe)
	for name, c := range map[string]struct {
		endpoint config.Endpoint
		change   func(*config.Cluster)
		remote   string
		local    string // the address without its port
	}{
		"IPv4":            {config.Endpoint{Address: at(v4)}, nil, v4.Addr().String(), "127.0.0.1"},
		"IPv6":            {config.Endpoint{Address: at(v6)}, nil, v6.Addr().String(), "::1"},
		"pipe":            {config.Endpoint{Pipe: pipe}, nil, "invalid AddrPort", "invalid IP"},
		"source":          {config.Endpoint{Address: at(v4)}, func(c *config.Cluster) { c.SourceV4 = netip.MustParseAddr("127.0.0.6") }, v4.Addr().String(), "127.0.0.6"},
		"source of IPv6":  {config.Endpoint{Address: at(v6)}, func(c *config.Cluster) { c.SourceV4 = netip.MustParseAddr("127.0.0.6") }, v6.Addr().String(), "::1"},
		"second address":  {config.Endpoint{Address: sockettest.Refused(1), Additional: []netip.AddrPort{at(v6)}}, nil, v6.Addr().String(), "::1"},
		"no timeout told": {config.Endpoint{Address: at(v4)}, func(c *config.Cluster) { c.ConnectTimeout = 0 }, v4.Addr().String(), "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			cfg := static("a", &c.endpoint)
			if c.change != nil {
				c.change(cfg)
			}
			cluster := f.apply(cfg)
			host, err := cluster.Pick(&Choice{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := cluster.Dial(t.Context(), host, DialOptions{})
			if err != nil {
				t.Fatal(err)
			}
			connected(t, conn)
			if conn.Remote.String() != c.remote || conn.Local.Addr().String() != c.local || conn.TLS != nil || conn.Host != host {
				t.Errorf("%s -> %s, TLS %v", conn.Local, conn.Remote, conn.TLS)
			}
			s := host.Status()
			if s.CxActive != 1 || s.CxTotal != 1 || cluster.Stats.CxActive.Load() != 1 || cluster.Breaker(DefaultPriority).Connections != 1 {
				t.Errorf("open: %+v", s)
			}
			conn.Close()
			conn.Close()
			if s := host.Status(); s.CxActive != 0 || cluster.Stats.CxActive.Load() != 0 || cluster.Stats.CxDestroy.Load() != 1 || cluster.Breaker(DefaultPriority).Connections != 0 {
				t.Errorf("closed: %+v", s)
			}
		})
	}
}

// TestDialFails: what is counted, what outlier detection hears.
func TestDialFails(t *testing.T) {
	v4 := echo(t, "tcp4", sockettest.Any())
	for name, c := range map[string]struct {
		endpoint config.Endpoint
		change   func(*config.Cluster)
		want     func(error) bool
		failures uint64
		timeouts uint64
	}{
		"refused": {config.Endpoint{Address: sockettest.Refused(2)}, nil, func(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }, 1, 0},
		"all of several": {config.Endpoint{Address: sockettest.Refused(3), Additional: []netip.AddrPort{sockettest.Refused(4)}}, nil,
			func(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }, 1, 0},
		"no pipe": {config.Endpoint{Pipe: "/nonexistent/s"}, nil, func(err error) bool { return errors.Is(err, unix.ENOENT) }, 1, 0},
		"timeout": {config.Endpoint{Address: sockettest.Full(t)}, func(c *config.Cluster) { c.ConnectTimeout = time.Millisecond }, Timeout, 1, 1},
		"itself":  {config.Endpoint{Address: netip.MustParseAddrPort("127.0.0.1:15001")}, nil, func(err error) bool { return errors.Is(err, ErrSelfDial) }, 0, 0},
		"itself as the second": {config.Endpoint{Address: sockettest.Refused(5), Additional: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:15000")}}, nil,
			func(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }, 1, 0},
		"overflow": {config.Endpoint{Address: at(v4)}, func(c *config.Cluster) { c.Breakers[0].Connections = 0 }, func(err error) bool { return errors.Is(err, ErrOverflow) }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			cfg := static("a", &c.endpoint)
			cfg.Outlier = envoysOutlier()
			if c.change != nil {
				c.change(cfg)
			}
			cluster := f.apply(cfg)
			host, _ := cluster.Pick(&Choice{}, nil)
			conn, err := cluster.Dial(t.Context(), host, DialOptions{})
			if conn != nil || !c.want(err) {
				t.Fatalf("%v, %v", conn, err)
			}
			if host.Stats.CxConnectFail.Load() != c.failures || cluster.Stats.CxConnectFail.Load() != c.failures || cluster.Stats.CxConnectLimit.Load() != c.timeouts {
				t.Errorf("failures counted: %d, %d, timeouts %d", host.Stats.CxConnectFail.Load(), cluster.Stats.CxConnectFail.Load(), cluster.Stats.CxConnectLimit.Load())
			}
			if got := host.monitor().in5xx.Load(); got != uint32(c.failures) {
				t.Errorf("outlier detection heard of %d", got)
			}
			if cluster.Breaker(DefaultPriority).Connections != 0 {
				t.Error("the place isn't given back")
			}
		})
	}
}

// TestFinal: a connection that is no request's carrier counts as a request, so that LEAST_REQUEST balances connections.
func TestFinal(t *testing.T) {
	f := newFixture(t)
	c := f.apply(static("a", &config.Endpoint{Address: at(echo(t, "tcp4", sockettest.Any()))}))
	host, _ := c.Pick(&Choice{}, nil)
	for _, final := range []bool{false, true} {
		conn, err := c.Dial(t.Context(), host, DialOptions{Final: final})
		if err != nil {
			t.Fatal(err)
		}
		if got := host.Active.Load() == 1; got != final {
			t.Errorf("final %v: %d are under way", final, host.Active.Load())
		}
		conn.Close()
		if host.Active.Load() != 0 {
			t.Errorf("final %v: %d are left", final, host.Active.Load())
		}
	}
	if n := host.Stats.RqTotal.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestDialGivenUp: a caller that goes away says nothing of the host.
func TestDialGivenUp(t *testing.T) {
	f := newFixture(t)
	c := f.apply(static("a", &config.Endpoint{Address: at(echo(t, "tcp4", sockettest.Any()))}))
	host, _ := c.Pick(&Choice{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Dial(ctx, host, DialOptions{}); err == nil || host.Stats.CxConnectFail.Load() != 0 {
		t.Errorf("%v, %d failures", err, host.Stats.CxConnectFail.Load())
	}
}

// TestSourceLeavesPortsFree: with IP_BIND_ADDRESS_NO_PORT two connections to different servers may share a port, so the
// socket has the option.
func TestSourceLeavesPortsFree(t *testing.T) {
	f := newFixture(t)
	cfg := static("a", &config.Endpoint{Address: at(echo(t, "tcp4", sockettest.Any()))})
	cfg.SourceV4 = netip.MustParseAddr("127.0.0.6")
	cfg.KeepAlive = &config.TCPKeepAlive{Probes: 4, Time: 7 * time.Second, Interval: 3 * time.Second}
	c := f.apply(cfg)
	host, _ := c.Pick(&Choice{}, nil)
	conn, err := c.Dial(t.Context(), host, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, o := range map[string]struct{ level, option, want int }{
		"IP_BIND_ADDRESS_NO_PORT": {unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1},
		"SO_KEEPALIVE":            {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"TCP_KEEPIDLE":            {unix.SOL_TCP, unix.TCP_KEEPIDLE, 7},
		"TCP_KEEPINTVL":           {unix.SOL_TCP, unix.TCP_KEEPINTVL, 3},
		"TCP_KEEPCNT":             {unix.SOL_TCP, unix.TCP_KEEPCNT, 4},
	} {
		if got := option(t, conn.Conn, o.level, o.option); got != o.want {
			t.Errorf("%s is %d, want %d", name, got, o.want)
		}
	}
	next := *cfg
	next.KeepAlive = nil
	c = f.apply(&next)
	host, _ = c.Pick(&Choice{}, nil)
	plain, err := c.Dial(t.Context(), host, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if option(t, plain.Conn, unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0 {
		t.Error("probes are on though nobody asked")
	}
}

func option(t *testing.T, conn net.Conn, level, name int) (value int) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, name) }); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestAlternate(t *testing.T) {
	addr := func(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), 80) }
	got := alternate(addr("::1"), []netip.AddrPort{addr("::2"), addr("::3"), addr("10.0.0.1"), addr("10.0.0.2")})
	var text []string
	for _, a := range got {
		text = append(text, a.Addr().String())
	}
	if want := "::1 10.0.0.1 ::2 10.0.0.2 ::3"; strings.Join(text, " ") != want {
		t.Errorf("got %v, want %s", text, want)
	}
}

// TestRace: an address that doesn't answer delays the next one, not more; a later winner's rivals are closed.
func TestRace(t *testing.T) {
	list := []netip.AddrPort{numbered(0), numbered(1), numbered(2)}
	loser, other := net.Pipe()
	defer other.Close()
	hangs := make(chan struct{})
	conn, err := race(t.Context(), list, time.Millisecond, func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		switch to {
		case list[0]: // connects, but too late
			<-ctx.Done()
			close(hangs)
			return loser, nil
		case list[1]:
			return nil, errors.New("refused")
		default:
			a, _ := net.Pipe()
			return a, nil
		}
	})
	if err != nil || conn == nil || conn == loser {
		t.Fatalf("%v, %v", conn, err)
	}
	<-hangs
	if _, err := other.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the loser isn't closed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := race(ctx, list, time.Hour, func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

// tlsServer echoes over TLS with a certificate of its own for localhost, and returns it as the trust clients need.
func tlsServer(t *testing.T, protocols ...string) (net.Listener, *config.Cell[config.Trust]) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp4", sockettest.Any(), &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: protocols,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serveEcho(l)
	return l, config.NewCell(&config.Trust{Roots: []*x509.Certificate{root}})
}

// TestDialTLS: transport_socket_matches, ALPN of the caller, resumption, a server nobody trusts.
func TestDialTLS(t *testing.T) {
	l, trust := tlsServer(t, "h2", "http/1.1")
	secured := &config.ClientTLS{TLSParams: config.TLSParams{Trust: trust, ALPN: []string{"http/1.1"}}, SNI: "localhost"}
	f := newFixture(t)
	cfg := static("a", &config.Endpoint{Address: at(l), TLSMatch: map[string]string{"tlsMode": "istio"}})
	cfg.TLSMatches = []config.TransportMatch{{Name: "mtls", Match: map[string]string{"tlsMode": "istio"}, TLS: secured}, {Name: "plain"}}
	c := f.apply(cfg)
	for i, alpn := range []string{"http/1.1", "h2"} {
		host, _ := c.Pick(&Choice{}, nil)
		o := DialOptions{}
		if i > 0 {
			o.ALPN = []string{alpn}
		}
		conn, err := c.Dial(t.Context(), host, o)
		if err != nil {
			t.Fatal(err)
		}
		connected(t, conn)
		if conn.TLS == nil || conn.TLS.ALPN != alpn || conn.TLS.ServerName != "localhost" {
			t.Errorf("TLS %+v, want ALPN %s", conn.TLS, alpn)
		}
		conn.Close()
	}
	if c.Stats.TLS.Handshake.Load() != 2 || c.Stats.TLS.SessionReused.Load() != 1 {
		t.Errorf("%d handshakes, %d resumed", c.Stats.TLS.Handshake.Load(), c.Stats.TLS.SessionReused.Load())
	}
	_, others := tlsServer(t)
	untrusted := *cfg
	untrusted.TLSMatches = nil
	untrusted.TLS = &config.ClientTLS{TLSParams: config.TLSParams{Trust: others}, SNI: "localhost"}
	c = f.apply(&untrusted)
	host, _ := c.Pick(&Choice{}, nil)
	_, err := c.Dial(t.Context(), host, DialOptions{})
	var failure *TLSError
	if !errors.As(err, &failure) || !strings.HasPrefix(err.Error(), "TLS_error:") || c.Stats.TLS.ConnectionError.Load() != 1 {
		t.Errorf("error %v", err)
	}
	if host.Stats.CxConnectFail.Load() != 1 {
		t.Error("a failed handshake isn't a failed connection")
	}
}

func TestTransportOf(t *testing.T) {
	a, b, base := &config.ClientTLS{}, &config.ClientTLS{}, &config.ClientTLS{}
	cfg := &config.Cluster{TLS: base, TLSMatches: []config.TransportMatch{
		{Match: map[string]string{"x": "1", "y": "1"}, TLS: a}, {Match: map[string]string{"x": "1"}, TLS: b}, {Match: map[string]string{"x": "0"}},
	}}
	for name, c := range map[string]struct {
		match map[string]string
		want  *config.ClientTLS
	}{
		"all of the first":     {map[string]string{"x": "1", "y": "1", "z": "1"}, a},
		"the second":           {map[string]string{"x": "1"}, b},
		"plaintext is a match": {map[string]string{"x": "0"}, nil},
		"none":                 {nil, base},
	} {
		if got := TransportOf(cfg, &config.Endpoint{TLSMatch: c.match}); got != c.want {
			t.Errorf("%s: %p, want %p", name, got, c.want)
		}
	}
}
