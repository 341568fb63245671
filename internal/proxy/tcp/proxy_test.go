package tcp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/tcp/mx"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx/tlstest"
)

// TestChoose: each cluster gets its share and nobody else's.
func TestChoose(t *testing.T) {
	c := &config.TCPProxy{TotalWeight: 10, Clusters: []config.WeightedCluster{{Name: "a", Weight: 3}, {Name: "none"}, {Name: "b", Weight: 7}}}
	got := map[string]int{}
	for drawn := range uint32(10) {
		got[choose(c, func(n uint32) uint32 {
			if n != 10 {
				t.Errorf("drawn out of %d", n)
			}
			return drawn
		}).Name]++
	}
	if got["a"] != 3 || got["b"] != 7 || len(got) != 2 {
		t.Errorf("%v", got)
	}
	one := &config.TCPProxy{Clusters: []config.WeightedCluster{{Name: "a"}}}
	if choose(one, nil).Name != "a" {
		t.Error("the only cluster isn't chosen")
	}
}

// TestEnds is the log line of each way a connection ends before it is carried.
func TestEnds(t *testing.T) {
	closed := listen(t)
	closed.Close()
	for _, c := range []struct {
		name, want string
		change     func(*rig)
	}{
		{"no cluster", "NC - 0 0 nowhere", func(r *rig) { r.tcp.Clusters[0].Name = "nowhere" }},
		{"no host", "UH - 0 0 c", func(r *rig) { r.cluster.Endpoints.Store(&config.Endpoints{}) }},
		{"dropped", "DO - 0 0 c", func(r *rig) {
			r.cluster.Endpoints.Store(&config.Endpoints{DropPerMillion: 1e6, Localities: r.cluster.Endpoints.Load().Localities})
		}},
		{"connect failed", "UF - 0 0 c", func(r *rig) { r.cluster.Endpoints = r.clusterTo("", closed.Addr().String()).Endpoints }},
		{"too many connections", "UO - 0 0 c", func(r *rig) { r.cluster.Breakers[0].Connections = 0 }},
		{"RBAC", "- rbac_access_denied_matched_policy[none] 0 0 c", func(r *rig) {
			r.chain.Filters = []config.NetworkFilter{{Config: &config.RBAC{Rules: &config.RBACRules{}}}}
		}},
		{"a filter nobody knows", "- network filter int isn't built 0 0 c", func(r *rig) { r.chain.Filters = []config.NetworkFilter{{Config: 1}} }},
		{"rate limit", "RL local_ratelimit_close_over_limit 0 0 c", func(r *rig) {
			r.chain.Filters = []config.NetworkFilter{{Config: &config.LocalRateLimit{Bucket: config.TokenBucket{Interval: time.Hour}}}}
		}},
		{"connection limit", "- connection_limit 0 0 c", func(r *rig) {
			r.chain.Filters = []config.NetworkFilter{{Config: &config.ConnectionLimit{Delay: time.Millisecond}}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			c.change(r)
			wantClosed(t, r.dial())
			r.wantLine(c.want)
		})
	}
}

// TestNextHost: a host that refuses is followed by others, though all connections hash alike, and the line says nothing
// of it.
func TestNextHost(t *testing.T) {
	r := newRig(t, nil)
	r.tcp.MaxConnectAttempts, r.tcp.HashSourceIP = 50, true
	hosts := []string{r.up.Addr().String()}
	for range 4 {
		closed := listen(t)
		closed.Close()
		hosts = append(hosts, closed.Addr().String())
	}
	r.cluster.LB = config.LB{Policy: config.LBRingHash, RingMin: 100, RingMax: 1000}
	r.cluster.Endpoints = r.clusterTo("", hosts...).Endpoints
	client := r.dial()
	server := r.accept()
	pass(t, client, server)
	client.Close()
	leaves(t, server)
	r.wantLine("- - 1 0 c -\n")
}

// TestConnectionLimit: a place that gets free is used again.
func TestConnectionLimit(t *testing.T) {
	r := newRig(t, nil)
	r.chain.Filters = []config.NetworkFilter{{Config: &config.ConnectionLimit{StatPrefix: "l", Max: 1}}}
	first := r.dial()
	server := r.accept()
	pass(t, first, server)
	wantClosed(t, r.dial())
	first.Close()
	leaves(t, server)
	eventually(t, "the first one's end", func() error {
		if n := r.Active(); n != 0 {
			return fmt.Errorf("%d active", n)
		}
		return nil
	})
	pass(t, r.dial(), r.accept())
	if n := r.store.Counter("connection_limit.l.limited_connections").Load(); n != 1 {
		t.Errorf("%d limited", n)
	}
}

func TestBucket(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBucket(config.TokenBucket{Max: 3, PerFill: 2, Interval: time.Second}, func() time.Time { return now })
	takes := func(want int) {
		t.Helper()
		got := 0
		for b.take() {
			got++
		}
		if got != want {
			t.Errorf("at %v: %d, want %d", now, got, want)
		}
	}
	takes(3)
	now = now.Add(900 * time.Millisecond)
	takes(0)
	now = now.Add(200 * time.Millisecond) // 1.1 s
	takes(2)
	now = now.Add(800 * time.Millisecond) // 1.9 s
	takes(0)
	now = now.Add(150 * time.Millisecond) // 2.05 s: intervals are counted from the start, not from the last look
	takes(2)
	now = now.Add(time.Hour * 24 * 365 * 100)
	takes(3)
}

// TestPlans: filters keep counting as long as their chain is used, and are forgotten with it.
func TestPlans(t *testing.T) {
	r := newRig(t, nil)
	func() {
		chain := &config.Chain{TCP: r.tcp}
		if first, again := r.planOf(chain), r.planOf(chain); first != again {
			t.Error("a chain has two plans")
		}
		runtime.KeepAlive(chain)
	}()
	eventually(t, "the plan is forgotten", func() error {
		runtime.GC()
		r.plans.mu.RLock()
		defer r.plans.mu.RUnlock()
		if n := len(r.plans.byChain); n != 0 {
			return fmt.Errorf("%d plans", n)
		}
		return nil
	})
}

// secured is TLS for one or both sides of a rig.
type secured struct {
	authority *tlstest.Authority
	client    *config.ClientTLS
	server    *config.ServerTLS
}

func newSecured(t *testing.T, alpn ...string) *secured {
	a := tlstest.NewAuthority(t, "mesh")
	side := func(id string) config.TLSParams {
		return config.TLSParams{ALPN: alpn, Trust: config.NewCell(a.Trust()),
			Certificates: []*config.Cell[config.Certificate]{config.NewCell(a.Workload(t, id))}}
	}
	return &secured{a, &config.ClientTLS{SNI: "shop", TLSParams: side("spiffe://mesh/ns/a/sa/client")},
		&config.ServerTLS{RequireClient: true, TLSParams: side("spiffe://mesh/ns/a/sa/server")}}
}

// ends are a client and a server of a rig, behind TLS where it is.
func (s *secured) ends(r *rig) (client, server net.Conn) {
	var plain net.Conn = r.dial()
	client = plain
	if r.chain.TLS != nil {
		client = tls.Client(plain, tlsctx.Client(s.client, tlsctx.ClientOptions{}))
	}
	if r.cluster.TLS == nil {
		if secure, ok := client.(*tls.Conn); ok {
			must(r.t, secure.Handshake())
		}
		return client, r.accept()
	}
	server = tls.Server(r.accept0(client), tlsctx.Server(s.server))
	return client, server
}

// accept0 accepts while the client's handshake goes on, if it has one.
func (r *rig) accept0(client net.Conn) net.Conn {
	if secure, ok := client.(*tls.Conn); ok {
		must(r.t, secure.Handshake())
	}
	return r.accept()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestTLS carries a megabyte each way, then half-closes, with TLS on either side and on both.
func TestTLS(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	for _, c := range []struct {
		name     string
		down, up bool
	}{{"down", true, false}, {"up", false, true}, {"both", true, true}, {"none", false, false}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSecured(t, "istio")
			r := newRig(t, nil)
			if c.down {
				r.chain.TLS = s.server
			}
			if c.up {
				r.cluster.TLS = s.client
			}
			client, server := s.ends(r)
			var wait sync.WaitGroup
			wait.Go(func() { // an echo that answers only when the request has ended: half-close must work
				got, err := io.ReadAll(server)
				if err != nil {
					t.Errorf("server: %v", err)
				}
				_, _ = server.Write(got)
				_ = closeWrite(server)
			})
			_, err := client.Write(data)
			must(t, err)
			must(t, closeWrite(client))
			if got := readAll(t, client); got != string(data) {
				t.Errorf("%d bytes came back of %d", len(got), len(data))
			}
			wait.Wait()
			r.wantLine("- - 1048576 1048576 c -\n")
			if n := r.store.Server.SplicedBytes.Load(); (n > 0) == (c.down || c.up) {
				t.Errorf("%d bytes spliced", n)
			}
		})
	}
}

func closeWrite(c net.Conn) error { return c.(interface{ CloseWrite() error }).CloseWrite() }

// TestTLSFailures: the log says why.
func TestTLSFailures(t *testing.T) {
	other := tlstest.NewAuthority(t, "other")
	for _, c := range []struct {
		name, want string
		change     func(*secured)
	}{
		{"we don't know the server", "UF - 0 0 c TLS_error:CERTIFICATE_VERIFY_FAILED:", func(s *secured) { s.client.Trust.Store(other.Trust()) }},
		{"the server doesn't know us", "UR - 0 0 c TLS_error:ALERT:bad_certificate", func(s *secured) { s.server.Trust.Store(other.Trust()) }},
		{"no certificate yet", "UF - 0 0 c TLS_error:Secret_is_not_supplied_by_SDS", func(s *secured) { s.client.Trust.Store(nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSecured(t, "istio")
			c.change(s)
			r := newRig(t, nil)
			r.cluster.TLS = s.client
			client, server := s.ends(r)
			go func() { _ = server.(*tls.Conn).Handshake(); server.Close() }()
			_, _ = client.Read(make([]byte, 1))
			r.wantLine(c.want)
		})
	}
}

// TestResetIsPassedOn in both directions, through TLS too.
func TestResetIsPassedOn(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secure), func(t *testing.T) {
			s := newSecured(t)
			r := newRig(t, nil)
			if secure {
				r.chain.TLS = s.server
			}
			client, server := s.ends(r)
			pass(t, client, server)
			_ = server.(*net.TCPConn).SetLinger(0)
			server.Close()
			if _, err := client.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the client sees %v", err)
			}
			r.wantLine("UR - 1 0 c")
		})
	}
}

var peers = [2]stream.Peer{{Workload: "client-v1", Namespace: "a"}, {Workload: "server-v1", Namespace: "b"}}

// TestExchange: two proxies in a row tell each other who they are, and the payload is untouched, whoever speaks first.
func TestExchange(t *testing.T) {
	for _, serverFirst := range []bool{false, true} {
		t.Run(fmt.Sprint("server first ", serverFirst), func(t *testing.T) {
			s := newSecured(t, mx.Protocol, "istio")
			exchange := []config.NetworkFilter{{Config: &config.TCPMetadataExchange{Protocol: mx.Protocol}}}
			inbound := newRig(t, func(o *Options) { o.Self.Peer = peers[1] })
			inbound.chain.TLS, inbound.chain.Filters = s.server, exchange
			outbound := newRig(t, func(o *Options) { o.Self = filter.Self{Peer: peers[0], NodeID: "sidecar~1"} })
			outbound.cluster.TLS, outbound.cluster.Filters = s.client, exchange
			outbound.cluster.Endpoints = outbound.clusterTo("", inbound.down.Addr().String()).Endpoints

			client := outbound.dial()
			inbound.clusters()
			conn, err := inbound.down.Accept()
			must(t, err)
			inbound.serving.Go(func() { inbound.serve(conn) })
			server := inbound.accept()
			if serverFirst {
				pass(t, server, client)
			}
			pass(t, client, server)
			pass(t, server, client)
			wantPeer(t, "server's", inbound, &peers[0], func(x *session) *stream.Peer { return x.conn.Peer })
			wantPeer(t, "client's", outbound, &peers[1], func(x *session) *stream.Peer { return x.x.UpPeer })
			client.Close()
			leaves(t, server)
			outbound.wantLine("- - 1 ")
			inbound.wantLine("- - 1 ")
		})
	}
}

func wantPeer(t *testing.T, whose string, r *rig, want *stream.Peer, get func(*session) *stream.Peer) {
	t.Helper()
	for _, s := range r.list() {
		s.mu.Lock()
		got := get(s)
		s.mu.Unlock()
		if got == nil || got.Workload != want.Workload || got.Namespace != want.Namespace || !strings.HasPrefix(got.Principal, "spiffe://mesh/") {
			t.Errorf("the %s peer is %+v", whose, got)
		}
	}
}

// TestNoExchange: a peer that negotiated and sends something else is cut off; one that negotiated another protocol gets
// no frame.
func TestNoExchange(t *testing.T) {
	for _, c := range []struct {
		name, alpn, want string
	}{
		{"no frame", mx.Protocol, "LR metadata_exchange_error 0 0 c"},
		{"another protocol", "istio", "- - 13 13 c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSecured(t, c.alpn)
			r := newRig(t, nil)
			r.chain.TLS = s.server
			r.chain.Filters = []config.NetworkFilter{{Config: &config.TCPMetadataExchange{Protocol: mx.Protocol}}}
			client, server := s.ends(r)
			go func() { _, _ = io.Copy(server, server); _ = closeWrite(server) }()
			_, err := client.Write([]byte("hello, world\n"))
			must(t, err)
			_ = closeWrite(client)
			got, _ := io.ReadAll(client)
			if want := c.alpn != mx.Protocol; (string(got) == "hello, world\n") != want {
				t.Errorf("got %q", got)
			}
			r.wantLine(c.want)
			if n := r.store.TCPPrefix("c").MetadataExchangeError.Load(); (n == 1) != (c.alpn == mx.Protocol) {
				t.Errorf("%d errors counted", n)
			}
		})
	}
}

// TestLogOnConnect: one line when the connection stands, one when it ends.
func TestLogOnConnect(t *testing.T) {
	r := newRig(t, nil)
	r.tcp.LogOnConnect = true
	client := r.dial()
	server := r.accept()
	r.wantLine("- - 0 0 c -\n")
	pass(t, client, server)
	client.Close()
	leaves(t, server)
	r.wantLine("- - 0 0 c -\n- - 1 0 c -\n")
}

// TestNothingLeft: after connections of every kind, goroutines and descriptors are as before.
func TestNothingLeft(t *testing.T) {
	goroutines, fds := runtime.NumGoroutine(), countFDs(t)
	t.Run("traffic", func(t *testing.T) {
		for _, secure := range []bool{false, true} {
			s := newSecured(t, mx.Protocol)
			r := newRig(t, nil)
			if secure {
				r.chain.TLS, r.cluster.TLS = s.server, s.client
			}
			var wait sync.WaitGroup
			for range 10 {
				client, server := s.ends(r)
				wait.Go(func() { _, _ = io.Copy(server, server); server.Close() })
				wait.Go(func() { _, _ = client.Write(make([]byte, 200<<10)); _ = closeWrite(client) })
				_, _ = io.Copy(io.Discard, client)
				client.Close()
			}
			wait.Wait()
			client, server := s.ends(r) // left open: Close ends it
			if secure {
				go func() { _ = server.(*tls.Conn).Handshake() }()
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience/4)
			r.Close(ctx)
			cancel()
			wantClosed(t, client)
		}
	})
	eventually(t, "goroutines and descriptors", func() error {
		if g, f := runtime.NumGoroutine(), countFDs(t); g > goroutines || f > fds {
			return fmt.Errorf("%d goroutines and %d descriptors, there were %d and %d", g, f, goroutines, fds)
		}
		return nil
	})
}

func countFDs(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
