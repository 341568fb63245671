package tlsctx

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx/tlstest"
)

const (
	shop = "spiffe://cluster.local/ns/shop/sa/shop"
	cart = "spiffe://cluster.local/ns/cart/sa/cart"
)

// both is a client and a server of one mesh; a test changes what it is about.
type both struct {
	authority *tlstest.Authority
	server    *config.ServerTLS
	client    *config.ClientTLS
	options   ClientOptions
}

func newBoth(t testing.TB) *both {
	a := tlstest.NewAuthority(t, "mesh")
	cell := func(id string) []*config.Cell[config.Certificate] {
		return []*config.Cell[config.Certificate]{config.NewCell(a.Workload(t, id))}
	}
	b := &both{authority: a, server: &config.ServerTLS{RequireClient: true}, client: &config.ClientTLS{SNI: "outbound_.80_._.shop"}}
	b.server.TLSParams = config.TLSParams{Certificates: cell(shop), Trust: config.NewCell(a.Trust()), ALPN: []string{"istio", "h2"}}
	b.client.TLSParams = config.TLSParams{Certificates: cell(cart), Trust: config.NewCell(a.Trust()), ALPN: []string{"istio"},
		SANs: []config.SANMatch{{Kind: config.SANURI, Match: config.StringMatch{Value: shop}}}}
	return b
}

func (b *both) asClient(c *config.Certificate) { b.client.Certificates[0].Store(c) }

// result is what both sides of a handshake have to say.
type result struct {
	server, client       tls.ConnectionState
	serverErr, clientErr error
}

// talk shakes hands over a real connection and sends a byte each way, so that tickets and late alerts arrive.
func talk(t testing.TB, server, client *tls.Config) (r result) {
	t.Helper()
	l := sockettest.Listen(t)
	defer l.Close()
	var wait sync.WaitGroup
	wait.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			r.serverErr = err
			return
		}
		r.server, r.serverErr = exchange(tls.Server(conn, server))
	})
	conn, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r.client, r.clientErr = exchange(tls.Client(conn, client))
	wait.Wait()
	return r
}

func exchange(c *tls.Conn) (tls.ConnectionState, error) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if err := c.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return tls.ConnectionState{}, err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return c.ConnectionState(), err
}

func (b *both) talk(t testing.TB) result {
	t.Helper()
	return talk(t, Server(b.server), Client(b.client, b.options))
}

func TestGood(t *testing.T) {
	b := newBoth(t)
	r := b.talk(t)
	if r.serverErr != nil || r.clientErr != nil {
		t.Fatal(r.serverErr, r.clientErr)
	}
	s, c := DescribeServer(r.server, b.server), DescribeClient(r.client, b.client)
	if !s.Mutual || !slices.Equal(s.PeerURISANs, []string{cart}) || !slices.Equal(s.LocalURISANs, []string{shop}) || s.ALPN != "istio" ||
		s.ServerName != "outbound_.80_._.shop" || s.Version != tls.VersionTLS13 || s.PeerCert == nil {
		t.Errorf("server: %+v", s)
	}
	if !c.Mutual || !slices.Equal(c.PeerURISANs, []string{shop}) || !slices.Equal(c.LocalURISANs, []string{cart}) || c.ALPN != "istio" {
		t.Errorf("client: %+v", c)
	}
}

// TestRefused is one row a rule of section 14. want is in the error of who refuses.
func TestRefused(t *testing.T) {
	other := tlstest.NewAuthority(t, "other")
	for _, c := range []struct {
		name     string
		change   func(*both)
		kind     Kind
		byServer bool
		want     string
	}{
		{"client of another authority", func(b *both) { b.asClient(other.Workload(t, cart)) }, BadChain, true, "unknown authority"},
		{"server of another authority", func(b *both) { b.client.Trust.Store(other.Trust()) }, BadChain, false, "unknown authority"},
		{"expired client", func(b *both) {
			b.asClient(b.authority.Issue(t, func(c *x509.Certificate) {
				c.URIs, c.NotAfter = tlstest.URIs(t, cart), time.Now().Add(-time.Minute)
			}))
		}, BadChain, true, "expired"},
		{"wrong SAN", func(b *both) { b.client.SANs[0].Match.Value = cart }, BadSAN, false, shop},
		{"two URIs", func(b *both) {
			b.asClient(b.authority.Issue(t, func(c *x509.Certificate) { c.URIs = tlstest.URIs(t, cart, shop) }))
		}, BadIdentity, true, "2 URI SANs"},
		{"no usage for clients", func(b *both) {
			b.asClient(b.authority.Issue(t, func(c *x509.Certificate) {
				c.URIs, c.ExtKeyUsage = tlstest.URIs(t, cart), []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			}))
		}, BadChain, true, "incompatible key usage"},
		{"another trust domain", func(b *both) {
			b.server.Trust.Store(&config.Trust{Domains: map[string][]*x509.Certificate{"else.where": {b.authority.Certificate}}})
		}, UnknownDomain, true, "cluster.local"},
		{"its domain's roots are others", func(b *both) {
			b.server.Trust.Store(&config.Trust{Roots: []*x509.Certificate{b.authority.Certificate},
				Domains: map[string][]*x509.Certificate{"cluster.local": {other.Certificate}}})
		}, BadChain, true, "unknown authority"},
		{"no SPIFFE identity where domains are", func(b *both) {
			b.asClient(b.authority.Server(t, "cart.example"))
			b.server.Trust.Store(&config.Trust{Domains: map[string][]*x509.Certificate{"cluster.local": {b.authority.Certificate}}})
		}, BadIdentity, true, "no SPIFFE"},
		{"revoked", func(b *both) {
			trust := b.authority.Trust()
			trust.CRL = []*x509.RevocationList{b.authority.Revoke(t, time.Now().Add(time.Hour), b.client.Certificates[0].Load())}
			b.server.Trust.Store(trust)
		}, Revoked, true, "certificate revoked"},
		{"old revocation list", func(b *both) {
			trust := b.authority.Trust()
			trust.CRL = []*x509.RevocationList{b.authority.Revoke(t, time.Now().Add(-time.Minute))}
			b.server.Trust.Store(trust)
		}, Revoked, true, "CRL has expired"},
		{"another's revocation list", func(b *both) {
			trust := b.authority.Trust()
			trust.CRL = []*x509.RevocationList{other.Revoke(t, time.Now().Add(time.Hour))}
			b.server.Trust.Store(trust)
		}, Revoked, true, "unable to get"},
		{"wrong hash", func(b *both) { b.client.Hashes = [][]byte{make([]byte, 32)} }, BadHash, false, "hash"},
		{"names without authority", func(b *both) { b.client.Trust.Store(&config.Trust{}) }, BadChain, false, "no trusted authority"},
		{"not the host asked for", func(b *both) { b.options.VerifyName = "shop.example" }, BadSAN, false, "shop.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBoth(t)
			c.change(b)
			r := b.talk(t)
			err, peer := r.clientErr, r.serverErr
			if c.byServer {
				err, peer = peer, err
			}
			verify, ok := err.(*VerifyError) //nolint:errorlint // this very type is the promise
			if !ok || verify.Kind != c.kind || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if peer == nil {
				t.Error("the refused side noticed nothing")
			}
			reason := Reason(err)
			if !strings.HasPrefix(reason, "TLS_error:CERTIFICATE_VERIFY_FAILED:") || strings.ContainsAny(reason, " \n") {
				t.Errorf("reason %q", reason)
			}
			if reason := Reason(peer); !strings.Contains(reason, "ALERT:bad_certificate") {
				t.Errorf("the other side's reason %q", reason)
			}
		})
	}
}

// TestAccepted are peers that a rule could wrongly refuse.
func TestAccepted(t *testing.T) {
	other := tlstest.NewAuthority(t, "other")
	for _, c := range []struct {
		name   string
		change func(*both)
		mutual bool // as the server sees it
	}{
		{"no client certificate where none is required", func(b *both) { b.server.RequireClient, b.client.Certificates = false, nil }, false},
		{"a required chain without trust", func(b *both) { b.server.Trust = nil }, false},
		{"expired, but allowed", func(b *both) {
			b.asClient(b.authority.Issue(t, func(c *x509.Certificate) {
				c.URIs, c.NotAfter = tlstest.URIs(t, cart), time.Now().Add(-time.Minute)
			}))
			trust := b.authority.Trust()
			trust.AllowExpired = true
			b.server.Trust.Store(trust)
		}, true},
		{"untrusted, but anybody may", func(b *both) {
			b.asClient(other.Workload(t, cart))
			trust := b.authority.Trust()
			trust.TrustAny = true
			b.server.Trust.Store(trust)
		}, false},
		{"trusted, and anybody may", func(b *both) {
			trust := b.authority.Trust()
			trust.TrustAny = true
			b.server.Trust.Store(trust)
		}, true},
		{"its own trust domain", func(b *both) {
			b.server.Trust.Store(&config.Trust{Domains: map[string][]*x509.Certificate{"cluster.local": {b.authority.Certificate}}})
		}, true},
		{"trust domain by prefix", func(b *both) {
			b.server.SANs = []config.SANMatch{{Kind: config.SANURI, Match: config.StringMatch{Kind: config.StringPrefix, Value: "spiffe://cluster.local/"}}}
		}, true},
		{"not revoked", func(b *both) {
			trust := b.authority.Trust()
			trust.CRL = []*x509.RevocationList{b.authority.Revoke(t, time.Now().Add(time.Hour), b.authority.Workload(t, shop))}
			b.server.Trust.Store(trust)
		}, true},
		{"the hash alone, no authority", func(b *both) {
			hash := sha256.Sum256(b.client.Certificates[0].Load().Leaf.RawSubjectPublicKeyInfo)
			b.server.Trust.Store(&config.Trust{SPKIs: [][]byte{hash[:]}})
		}, true},
		{"no protocol in common", func(b *both) { b.client.ALPN = []string{"spdy"} }, true},
		{"the server verified by nobody", func(b *both) { b.client.Trust = nil }, true},
		{"TLS 1.2", func(b *both) { b.client.MaxVersion = tls.VersionTLS12 }, true},
		{"one curve, one cipher", func(b *both) {
			b.server.Curves, b.server.MaxVersion = []uint16{uint16(tls.CurveP256)}, tls.VersionTLS12
			b.server.Ciphers = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBoth(t)
			c.change(b)
			r := b.talk(t)
			if r.serverErr != nil || r.clientErr != nil {
				t.Fatal(r.serverErr, r.clientErr)
			}
			if d := DescribeServer(r.server, b.server); d.Mutual != c.mutual {
				t.Errorf("mutual %v", d.Mutual)
			}
			if len(b.server.Ciphers) > 0 && r.server.CipherSuite != b.server.Ciphers[0] {
				t.Errorf("cipher %x", r.server.CipherSuite)
			}
		})
	}
}

// TestSystemRoots: the host's roots are trusted besides the configured ones, and aren't without being asked for.
func TestSystemRoots(t *testing.T) {
	a, b := tlstest.NewAuthority(t, "of the host"), tlstest.NewAuthority(t, "configured")
	file := filepath.Join(t.TempDir(), "roots.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate.Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file) // it is read once a process
	system, err := x509.SystemCertPool()
	if err != nil || !slices.ContainsFunc(system.Subjects(), func(s []byte) bool { return bytes.Equal(s, a.Certificate.RawSubject) }) { //nolint:staticcheck // of files they are there
		t.Skip("the host's roots were read before")
	}
	trust := b.Trust()
	for _, c := range []struct {
		by     *tlstest.Authority
		system bool
		want   bool
	}{{a, true, true}, {b, true, true}, {a, false, false}, {b, false, true}} {
		both := &config.Trust{Roots: trust.Roots, SystemRoots: c.system}
		v := verifier{params: &config.TLSParams{}, trust: both, usage: x509.ExtKeyUsageServerAuth}
		if err := v.check([]*x509.Certificate{c.by.Server(t, "a.b").Leaf}, time.Now()); (err == nil) != c.want {
			t.Errorf("system %v: %v", c.system, err)
		}
	}
}

// TestNotReady are handshakes that can't begin.
func TestNotReady(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(*both)
		byServer bool
		want     string
	}{
		{"required and missing", func(b *both) { b.client.Certificates = nil }, true, "didn't_provide_a_certificate"},
		{"certificate not there yet", func(b *both) { b.server.Certificates[0].Store(nil) }, true, "not_supplied_by_SDS"},
		{"trust not there yet", func(b *both) { b.server.Trust.Store(nil) }, true, "not_supplied_by_SDS"},
		{"client's trust not there yet", func(b *both) { b.client.Trust.Store(nil) }, false, "not_supplied_by_SDS"},
		{"client's certificate not there yet", func(b *both) { b.asClient(nil) }, false, "not_supplied_by_SDS"},
		{"no server name", func(b *both) { b.server.RequireSNI, b.client.SNI = true, "" }, true, "no_server_name"},
		{"versions apart", func(b *both) { b.server.MinVersion, b.client.MaxVersion = tls.VersionTLS13, tls.VersionTLS12 }, true, "version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBoth(t)
			c.change(b)
			r := b.talk(t)
			err := r.clientErr
			if c.byServer {
				err = r.serverErr
			}
			if !strings.Contains(Reason(err), c.want) {
				t.Errorf("reason %q, want %q", Reason(err), c.want)
			}
		})
	}
}

// TestResumption: a second connection resumes, is verified all the same, and rotation of the secret or the trust on
// either side ends it.
func TestResumption(t *testing.T) {
	again := errorless
	for _, c := range []struct {
		name    string
		change  func(*both)
		resumed bool
		check   func(*testing.T, result)
	}{
		{"nothing changed", func(*both) {}, true, again},
		{"server's certificate rotated", func(b *both) { b.server.Certificates[0].Store(b.authority.Workload(t, shop)) }, false, again},
		{"server's trust rotated", func(b *both) {
			trust := b.authority.Trust()
			trust.Roots = append(trust.Roots, tlstest.NewAuthority(t, "next").Certificate)
			b.server.Trust.Store(trust)
		}, false, again},
		{"client's certificate rotated", func(b *both) { b.asClient(b.authority.Workload(t, cart)) }, false, again},
		{"client's trust rotated", func(b *both) { b.client.Trust.Store(b.authority.Trust()) }, false, again},
		{"a rule has come since", func(b *both) {
			b.server.SANs = []config.SANMatch{{Kind: config.SANURI, Match: config.StringMatch{Value: shop}}}
		}, false, func(t *testing.T, r result) {
			if Reason(r.serverErr) == "" || !strings.Contains(Reason(r.serverErr), "SAN") {
				t.Errorf("a resumed session got past the rule: %v", r.serverErr)
			}
		}},
		{"no tickets", func(b *both) { b.server.NoTickets = true }, false, again},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(c.name+" "+tls.VersionName(version), func(t *testing.T) {
				b := newBoth(t)
				b.client.MaxVersion = version
				b.options.Sessions = NewSessions(b.client)
				server := Server(b.server)
				errorless(t, talk(t, server, Client(b.client, b.options)))
				c.change(b)
				r := talk(t, Server(b.server), Client(b.client, b.options)) // another server, as another epoch is
				c.check(t, r)
				if r.serverErr != nil {
					return // in TLS 1.3 the client believes in its session until the alert comes
				}
				if r.client.DidResume != c.resumed || r.server.DidResume != c.resumed {
					t.Errorf("resumed %v, %v", r.client.DidResume, r.server.DidResume)
				}
			})
		}
	}
}

func errorless(t *testing.T, r result) {
	t.Helper()
	if r.serverErr != nil || r.clientErr != nil {
		t.Fatal(r.serverErr, r.clientErr)
	}
}

// TestRotationUnderLoad: certificates and trust of both sides rotate while handshakes go on, and none fails.
func TestRotationUnderLoad(t *testing.T) {
	b := newBoth(t)
	next := tlstest.NewAuthority(t, "next")
	trustBoth := &config.Trust{Roots: []*x509.Certificate{b.authority.Certificate, next.Certificate}}
	b.options.Sessions = NewSessions(b.client)
	server, client := Server(b.server), Client(b.client, b.options)
	var stop atomic.Bool
	var rounds [4]atomic.Int64
	var load, rotate sync.WaitGroup
	for i := range rounds {
		load.Go(func() {
			for !stop.Load() {
				if r := talk(t, server, client); r.serverErr != nil || r.clientErr != nil {
					t.Errorf("%v, %v", r.serverErr, r.clientErr)
					return
				}
				rounds[i].Add(1)
			}
		})
	}
	rotate.Go(func() {
		for i := range 12 {
			for r := range rounds { // the second to end has begun since the last change
				for start := rounds[r].Load(); rounds[r].Load() < start+2 && !t.Failed(); {
					time.Sleep(time.Millisecond)
				}
			}
			if i == 0 { // first everybody trusts both
				b.server.Trust.Store(trustBoth)
				b.client.Trust.Store(trustBoth)
				continue
			}
			from := []*tlstest.Authority{b.authority, next}[i%2]
			b.server.Certificates[0].Store(from.Workload(t, shop))
			b.client.Certificates[0].Store(from.Workload(t, cart))
		}
		stop.Store(true)
	})
	rotate.Wait()
	load.Wait()
}

// TestSessionsAreBounded: the oldest goes first, 0 is no cache.
func TestSessionsAreBounded(t *testing.T) {
	two, zero := uint32(2), uint32(0)
	if NewSessions(&config.ClientTLS{MaxSessions: &zero}) != nil {
		t.Error("there is a cache for no sessions")
	}
	c := &config.ClientTLS{MaxSessions: &two}
	s := NewSessions(c)
	view := &sessionView{sessions: s, params: &c.TLSParams}
	for _, key := range []string{"a", "b"} {
		view.Put(key, &tls.ClientSessionState{})
	}
	view.Get("a")
	view.Put("c", &tls.ClientSessionState{})
	for key, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, ok := view.Get(key); ok != want {
			t.Errorf("%s is there: %v", key, ok)
		}
	}
	view.Put("a", nil)
	if _, ok := view.Get("a"); ok || len(s.byKey) != 1 || s.order.Len() != 1 {
		t.Error("a removed session is there")
	}
}

func TestNames(t *testing.T) {
	a := tlstest.NewAuthority(t, "a")
	leaf := a.Issue(t, func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses, c.EmailAddresses = []string{"*.Example.com", "a.b"}, []net.IP{net.ParseIP("10.0.0.1")}, []string{"a@b.c"}
		c.URIs = tlstest.URIs(t, shop)
	}).Leaf
	exact := func(kind config.SANKind, value string) config.SANMatch {
		return config.SANMatch{Kind: kind, Match: config.StringMatch{Value: value}}
	}
	for _, c := range []struct {
		m    config.SANMatch
		want bool
	}{
		{exact(config.SANDNS, "x.example.com"), true}, {exact(config.SANDNS, "x.y.example.com"), false}, {exact(config.SANDNS, "example.com"), false},
		{exact(config.SANDNS, ".example.com"), false}, {exact(config.SANDNS, "a.b"), true}, {exact(config.SANURI, "a.b"), false},
		{exact(config.SANIP, "10.0.0.1"), true}, {exact(config.SANEmail, "a@b.c"), true}, {exact(config.SANURI, shop), true},
		{exact(config.SANAny, "10.0.0.1"), true}, {exact(config.SANAny, shop), true}, {exact(config.SANAny, "else"), false},
		{config.SANMatch{Kind: config.SANDNS, Match: config.StringMatch{Kind: config.StringSuffix, Value: ".com"}}, true},
	} {
		if got := takes(&c.m, leaf); got != c.want {
			t.Errorf("%+v: %v", c.m, got)
		}
	}
}
