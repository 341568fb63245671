package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx/tlstest"
)

func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		unhealthy, healthy uint32
		results            string // + good, - bad
		want               string // after each
	}{
		"the first one decides":    {3, 3, "-", "-"},
		"good at first":            {3, 3, "+", "+"},
		"three bad ones":           {3, 2, "+---", "+++-"},
		"a good one between":       {3, 2, "+--+--", "++++++"},
		"two good ones bring back": {2, 2, "+---++", "++---+"},
		"thresholds unset are 1":   {0, 0, "+-+", "+-+"},
	} {
		t.Run(name, func(t *testing.T) {
			v := verdict{check: &config.HealthCheck{Unhealthy: c.unhealthy, Healthy: c.healthy}, fresh: true}
			got := ""
			for _, r := range c.results {
				if v.take(r == '-') {
					got += "-"
				} else {
					got += "+"
				}
			}
			if got != c.want {
				t.Errorf("%s gives %s, want %s", c.results, got, c.want)
			}
		})
	}
}

// checkOnce runs one check against a real address.
func checkOnce(t *testing.T, to net.Addr, check config.HealthCheck) error {
	t.Helper()
	f := newFixture(t)
	cfg := static("a", &config.Endpoint{Address: netip.MustParseAddrPort(to.String()), Hostname: "host.example"})
	c := f.apply(cfg)
	return c.check(t.Context(), c.current().members[0].host, &check)
}

func TestHTTPCheck(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "host.example" && r.Host != "other.example" || r.UserAgent() != "Envoy/HC" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		switch r.Method + r.URL.Path {
		case "GET/", "GET/well", "HEAD/head":
		case "GET/204":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	for name, c := range map[string]struct {
		check config.HealthCheck
		want  string // of the error
	}{
		"well":            {config.HealthCheck{Path: "/well"}, ""},
		"the root":        {config.HealthCheck{}, ""},
		"another host":    {config.HealthCheck{Host: "other.example"}, ""},
		"HEAD":            {config.HealthCheck{Path: "/head", Method: "HEAD"}, ""},
		"503":             {config.HealthCheck{Path: "/ill"}, "503"},
		"204 isn't 200":   {config.HealthCheck{Path: "/204"}, "204"},
		"204 is expected": {config.HealthCheck{Path: "/204", Statuses: []config.PortRange{{Start: 200, End: 205}}}, ""},
		"the end is open": {config.HealthCheck{Path: "/204", Statuses: []config.PortRange{{Start: 200, End: 204}}}, "204"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkOnce(t, server.Listener.Addr(), c.check)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// talker answers each connection with what it is told, after it has read something if it is to.
func talker(t *testing.T, read bool, text string) net.Addr {
	t.Helper()
	l := sockettest.Listen(t)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if read {
				_, _ = conn.Read(make([]byte, 16))
			}
			_, _ = conn.Write([]byte(text))
			conn.Close()
		}
	}()
	return l.Addr()
}

func TestTCPCheck(t *testing.T) {
	for name, c := range map[string]struct {
		read  bool
		says  string
		check config.HealthCheck
		want  bool
	}{
		"connecting is enough": {false, "", config.HealthCheck{}, true},
		"pieces in order":      {true, "well, I am well", config.HealthCheck{Send: []byte("?"), Receive: [][]byte{[]byte("well"), []byte("am"), []byte("well")}}, true},
		"a piece twice":        {true, "well", config.HealthCheck{Send: []byte("?"), Receive: [][]byte{[]byte("well"), []byte("well")}}, false},
		"too much":             {false, strings.Repeat("x", longestAnswer+9000), config.HealthCheck{Receive: [][]byte{[]byte("y")}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.check.Kind = config.CheckTCP
			if err := checkOnce(t, talker(t, c.read, c.says), c.check); (err == nil) != c.want {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestGRPCCheck against grpc-go's health server.
func TestGRPCCheck(t *testing.T) {
	l := sockettest.Listen(t)
	server, state := grpc.NewServer(), health.NewServer()
	healthpb.RegisterHealthServer(server, state)
	state.SetServingStatus("ill", healthpb.HealthCheckResponse_NOT_SERVING)
	state.SetServingStatus("well", healthpb.HealthCheckResponse_SERVING)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	for service, want := range map[string]string{"": "", "well": "", "ill": "isn't SERVING", "unknown": `gRPC status is "5"`} {
		err := checkOnce(t, l.Addr(), config.HealthCheck{Kind: config.CheckGRPC, Service: service})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("service %q: %v, want %q", service, err, want)
		}
	}
	if err := checkOnce(t, talker(t, true, "HTTP/1.1 400 Bad Request\r\n\r\n"), config.HealthCheck{Kind: config.CheckGRPC}); err == nil {
		t.Error("who speaks no HTTP/2 is well")
	}
}

// TestCheckTimeout: a host that says nothing fails.
func TestCheckTimeout(t *testing.T) {
	l := sockettest.Listen(t)
	defer l.Close()
	err := checkOnce(t, l.Addr(), config.HealthCheck{Timeout: time.Millisecond})
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("error %v", err)
	}
}

// eventually asks until yes, as long as the test may last.
func eventually(ctx context.Context, t *testing.T, what string, ask func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for !ask() {
		if !pause(ctx, time.Millisecond) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestCheckedHosts: hosts are used once a check succeeded, not while checks fail, and again afterwards; checks end with
// their hosts.
func TestCheckedHosts(t *testing.T) {
	var ill atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	m := NewManager(Options{Tick: -1, LocalAddrs: localAddrs})
	defer m.Close()
	cfg := static("a", &config.Endpoint{Address: netip.MustParseAddrPort(server.Listener.Addr().String())})
	cfg.LB.PanicPercent = 0
	cfg.Checks = []config.HealthCheck{{Interval: time.Millisecond, Unhealthy: 2, Healthy: 2}}
	m.Apply(config.NewRuntime(nil, []*config.Cluster{cfg}))
	c := m.Cluster("a")
	usable := func() bool { _, err := c.Pick(&Choice{}, nil); return err == nil }
	eventually(t.Context(), t, "healthy at first", usable)
	host := c.current().members[0].host
	ill.Store(true)
	eventually(t.Context(), t, "unhealthy", func() bool { return !usable() })
	if s := c.Status().Hosts[0]; s.HealthFlags != "/failed_active_hc" || !s.FailedActive {
		t.Errorf("flags %s", s.HealthFlags)
	}
	ill.Store(false)
	eventually(t.Context(), t, "healthy again", usable)
	cfg.Endpoints.Store(&config.Endpoints{})
	m.tick(time.Now())
	c.mu.Lock()
	checked := len(c.checks.hosts)
	c.mu.Unlock()
	if checked != 0 || !host.Gone() {
		t.Errorf("%d hosts are still checked", checked)
	}
	without := *cfg
	without.Checks = nil
	m.Apply(config.NewRuntime(nil, []*config.Cluster{&without}))
}

// TestCheckNamesHost: checks of clusters with auto_sni and auto_san_validation name the host they ask for to TLS; nobody's
// name is taken for one.
func TestCheckNamesHost(t *testing.T) {
	authority := tlstest.NewAuthority(t, "ca")
	own := authority.Server(t, "host.example")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.ServerName != r.URL.Query().Get("sni") {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: own.Chain, PrivateKey: own.Key}}}
	server.StartTLS()
	defer server.Close()
	for name, c := range map[string]struct {
		sni, san    bool
		host, known string // of the check, and of the endpoint
		path, want  string
	}{
		"the endpoint's":          {true, true, "", "host.example", "/?sni=host.example", ""},
		"the check's":             {true, true, "host.example:443", "other.example", "/?sni=host.example", ""},
		"a wrong one":             {true, true, "other.example", "host.example", "/?sni=other.example", "TLS"},
		"a wrong one, unverified": {true, false, "other.example", "", "/?sni=other.example", ""},
		"verified alone":          {false, true, "host.example", "", "/?sni=configured", ""},
		"neither":                 {false, false, "other.example", "", "/?sni=configured", ""},
		"there is none":           {true, true, "", "", "/?sni=configured", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := static("a", &config.Endpoint{Address: at(server.Listener), Hostname: c.known})
			cfg.TLS = &config.ClientTLS{SNI: "configured", TLSParams: config.TLSParams{Trust: config.NewCell(authority.Trust())}}
			cfg.HTTP.AutoSNI, cfg.HTTP.AutoSAN = c.sni, c.san
			cluster := newFixture(t).apply(cfg)
			err := cluster.check(t.Context(), cluster.current().members[0].host, &config.HealthCheck{Host: c.host, Path: c.path})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestFailNow: a host that says its checks fail is out at once, counted and shown, left out of all shares, and comes back by
// its checks; an answer to a check says the same.
func TestFailNow(t *testing.T) {
	var admits, gone atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if admits.Load() {
			w.Header().Set(FailNow, "")
		}
		if gone.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	m := NewManager(Options{Tick: -1, LocalAddrs: localAddrs})
	defer m.Close()
	cfg := static("a", &config.Endpoint{Address: at(server.Listener)})
	cfg.LB.PanicPercent = 0
	cfg.Checks = []config.HealthCheck{{Interval: time.Millisecond, Unhealthy: 1000, Healthy: 2}}
	m.Apply(config.NewRuntime(nil, []*config.Cluster{cfg}))
	c := m.Cluster("a")
	usable := func() bool { _, err := c.Pick(&Choice{}, nil); return err == nil }
	eventually(t.Context(), t, "healthy at first", usable)
	host := c.current().members[0].host
	gone.Store(true)
	attempts := c.Stats.Health.Attempt.Load()
	eventually(t.Context(), t, "two more checks", func() bool { return c.Stats.Health.Attempt.Load() > attempts+2 })
	if !usable() {
		t.Fatal("a few failed checks are enough")
	}
	host.FailNow()
	if s := c.Status().Hosts[0]; usable() || s.HealthFlags != "/failed_active_hc/excluded_via_immediate_hc_fail" || !s.FailedActive || !s.Excluded {
		t.Errorf("usable %v, flags %s", usable(), s.HealthFlags)
	}
	if got := [2]uint64{c.Stats.Health.PassiveFailure.Load(), uint64(c.Stats.MembershipExcluded.Load())}; got != [2]uint64{1, 1} {
		t.Errorf("passive failures and excluded: %d", got)
	}
	gone.Store(false)
	eventually(t.Context(), t, "healthy again", func() bool { return usable() && c.Stats.MembershipExcluded.Load() == 0 })

	cfg = static("a", &config.Endpoint{Address: at(server.Listener)})
	cfg.Checks = []config.HealthCheck{{Interval: time.Millisecond, Unhealthy: 1, Healthy: 1}}
	admits.Store(true)
	gone.Store(true)
	m.Apply(config.NewRuntime(nil, []*config.Cluster{cfg}))
	eventually(t.Context(), t, "left out by a check's answer", func() bool { return c.Stats.MembershipExcluded.Load() == 1 })
	gone.Store(false)
	eventually(t.Context(), t, "200 is well, whatever else it says", func() bool { return c.Stats.MembershipHealthy.Load() == 1 })
}

// TestFailNowWithoutChecks: without active checks nothing would bring the host back.
func TestFailNowWithoutChecks(t *testing.T) {
	f := newFixture(t)
	c := f.apply(static("a", &config.Endpoint{Address: netip.MustParseAddrPort("192.0.2.1:80")}))
	c.current().members[0].host.FailNow()
	if _, err := c.Pick(&Choice{}, nil); err != nil || c.Checked() || c.Stats.Health.PassiveFailure.Load() != 0 {
		t.Errorf("%v, checked %v", err, c.Checked())
	}
}

func TestHostOf(t *testing.T) {
	for authority, want := range map[string]string{
		"a": "a", "a:1": "a", "[::1]": "::1", "[::1]:1": "::1", "1.2.3.4:5": "1.2.3.4", "": "",
	} {
		if got := hostOf(authority); got != want {
			t.Errorf("%q: %q, want %q", authority, got, want)
		}
	}
}
