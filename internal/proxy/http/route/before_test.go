package route

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/netip"
	"path"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func TestNormalizePath(t *testing.T) {
	all := config.HTTPManager{NormalizePath: true, MergeSlashes: true}
	only := config.HTTPManager{NormalizePath: true}
	escaped := func(e config.EscapedSlashes) config.HTTPManager {
		return config.HTTPManager{NormalizePath: true, EscapedSlashes: e}
	}
	for i, c := range []struct {
		m        config.HTTPManager
		in, want string
		verdict  PathVerdict
	}{
		{all, "/a/b?c=//..", "/a/b?c=//..", PathFine},
		{all, "/a/./b/../c", "/a/c", PathFine},
		{all, "/..", "/", PathFine},
		{all, "/../../a/..", "/", PathFine},
		{all, "/a/.", "/a/", PathFine},
		{all, "/a/..hidden/...", "/a/..hidden/...", PathFine},
		{all, "/%61%2E%2e/%7e?%61", "/a../~?%61", PathFine},
		{all, "/a/%2e%2E/b", "/b", PathFine},
		{all, `/a\..\b`, "/b", PathFine},
		{all, "//a///b//", "/a/b/", PathFine},
		{only, "//a//b", "//a//b", PathFine},
		{only, "/a//../b", "/a/b", PathFine},
		{only, "/a%2Fb%5C%2f%zz%", "/a%2Fb%5C%2f%zz%", PathFine},
		{only, "/\xc3\xa4", "/%C3%A4", PathFine},
		{only, "/a%00b", "/a%00b", PathRejected},
		{only, "*", "*", PathFine},
		{config.HTTPManager{}, "/a/../b//%61%00", "/a/../b//%61%00", PathFine},
		{config.HTTPManager{MergeSlashes: true}, "/a//../b", "/a/../b", PathFine},
		{escaped(config.EscapedSlashesReject), "/a%2fb", "/a%2fb", PathRejected},
		{escaped(config.EscapedSlashesReject), "/ab?%2f", "/ab?%2f", PathFine},
		{escaped(config.EscapedSlashesForward), "/a%2f..%5Cb?%2f", "/b?%2f", PathFine},
		{escaped(config.EscapedSlashesRedirect), "/a%2fb?q", "/a/b?q", PathRedirected},
		{escaped(config.EscapedSlashesRedirect), "/a/../b", "/b", PathFine},
	} {
		got, verdict := NormalizePath(&c.m, c.in)
		if got != c.want || verdict != c.verdict {
			t.Errorf("%d: %q is %q, %d, want %q, %d", i, c.in, got, verdict, c.want, c.verdict)
		}
	}
	if n := testing.AllocsPerRun(10, func() { NormalizePath(&all, "/a/b/c.html?x=../y") }); n != 0 {
		t.Errorf("a path that is fine costs %v allocations", n)
	}
}

// FuzzNormalizePath holds that nothing climbs out, and that dot segments are resolved as package path does it.
func FuzzNormalizePath(f *testing.F) {
	for _, seed := range []string{"/a/../b", "/%2e%2e/%2f", "/..//a/./", `/\..\%5c`, "/%252e", "/a?/.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		m := &config.HTTPManager{NormalizePath: true, MergeSlashes: true, EscapedSlashes: config.EscapedSlashesForward}
		got, verdict := NormalizePath(m, target)
		if verdict != PathFine || !strings.HasPrefix(target, "/") {
			return
		}
		clean, _ := splitQuery(got)
		if !strings.HasPrefix(clean, "/") || strings.Contains(clean, "//") || strings.Contains(clean, "/../") || strings.HasSuffix(clean, "/..") {
			t.Errorf("%q became %q", target, got)
		}
		if want := path.Clean(clean); clean != want && clean != want+"/" {
			t.Errorf("%q became %q, path.Clean says %q", target, clean, want)
		}
	})
}

func TestPrepare(t *testing.T) {
	edge := config.HTTPManager{UseRemoteAddress: true}
	inner := config.CIDRs{netip.MustParsePrefix("10.0.0.0/8")}
	for i, c := range []struct {
		m      config.HTTPManager
		fields []string
		want   string
		client string
		edge   bool
	}{
		{config.HTTPManager{}, nil, "x-forwarded-proto=http ", "10.1.2.3:4000", false},
		{config.HTTPManager{}, []string{"x-forwarded-for: 1.1.1.1, 2.2.2.2", "x-forwarded-proto: https", "x-envoy-retry-on: 5xx"},
			"x-forwarded-for=1.1.1.1, 2.2.2.2 x-forwarded-proto=https x-envoy-retry-on=5xx ", "2.2.2.2:0", false},
		{config.HTTPManager{TrustedHops: 1}, []string{"x-forwarded-for: 1.1.1.1, [::2]:80, 3.3.3.3", "x-forwarded-proto: http"},
			"x-forwarded-for=1.1.1.1, [::2]:80, 3.3.3.3 x-forwarded-proto=http ", "[::2]:0", false},
		{config.HTTPManager{TrustedHops: 5}, []string{"x-forwarded-for: 1.1.1.1", "x-forwarded-proto: http"},
			"x-forwarded-for=1.1.1.1 x-forwarded-proto=http ", "10.1.2.3:4000", false},
		{config.HTTPManager{}, []string{"x-forwarded-for: rubbish", "x-forwarded-proto: http"},
			"x-forwarded-for=rubbish x-forwarded-proto=http ", "10.1.2.3:4000", false},
		{edge, []string{"x-forwarded-for: 1.1.1.1", "x-forwarded-proto: https", "x-envoy-retry-on: 5xx", "x-envoy-internal: true", "x-own: a"},
			"x-forwarded-for=1.1.1.1,10.1.2.3 x-forwarded-proto=http ", "10.1.2.3:4000", true},
		{config.HTTPManager{UseRemoteAddress: true, TrustedHops: 1}, []string{"x-forwarded-for: 9.9.9.9,1.1.1.1", "x-forwarded-proto: https"},
			"x-forwarded-for=9.9.9.9,1.1.1.1,10.1.2.3 x-forwarded-proto=https ", "1.1.1.1:0", true},
		{config.HTTPManager{UseRemoteAddress: true, SkipXFFAppend: true, AppendForwardedPort: true}, []string{"x-forwarded-port: 1"},
			"x-forwarded-proto=http x-forwarded-port=80 ", "10.1.2.3:4000", true},
		{config.HTTPManager{UseRemoteAddress: true, Internal: inner}, []string{"x-envoy-retry-on: 5xx"},
			"x-envoy-retry-on=5xx x-forwarded-for=10.1.2.3 x-forwarded-proto=http x-envoy-internal=true ", "10.1.2.3:4000", false},
		{config.HTTPManager{UseRemoteAddress: true, Internal: inner}, []string{"x-forwarded-for: 10.1.1.1", "x-envoy-retry-on: 5xx"},
			"x-forwarded-for=10.1.1.1,10.1.2.3 x-forwarded-proto=http ", "10.1.2.3:4000", true},
	} {
		x := request("GET h /", c.fields...)
		got, _ := Prepare(&c.m, x, []string{"x-own"})
		if got != c.edge || list(&x.Request.Fields) != c.want || x.Client().String() != c.client {
			t.Errorf("%d: %v %s %s\nwant %v %s %s", i, got, list(&x.Request.Fields), x.Client(), c.edge, c.want, c.client)
		}
	}
}

func FuzzForwardedFor(f *testing.F) {
	f.Add("1.1.1.1, [::1]:80", uint32(1))
	f.Add(",,", uint32(0))
	f.Fuzz(func(t *testing.T, list string, hops uint32) {
		a, _ := fromLast(list, hops%100)
		if a.IsValid() && (a.Zone() != "" || a.Is4In6() || !strings.Contains(list, ":") && a.Is6()) {
			t.Errorf("%q: %s", list, a)
		}
		for _, edge := range []bool{true, false} {
			x := request("GET h /")
			x.Request.Fields.Add("x-forwarded-for", list)
			Prepare(&config.HTTPManager{UseRemoteAddress: edge, TrustedHops: hops % 100}, x, nil)
			if !x.Client().IsValid() {
				t.Error("no client")
			}
		}
	})
}

func TestClientCert(t *testing.T) {
	cert := &x509.Certificate{Raw: []byte("certificate+/=")}
	sum := sha256.Sum256(cert.Raw)
	tls := &stream.TLS{
		Mutual: true, PeerCert: cert, PeerChain: []*x509.Certificate{cert, cert}, PeerSubject: `CN="a`,
		PeerURISANs: []string{"spiffe://a", "spiffe://b"}, PeerDNSSANs: []string{"a.com"}, LocalURISANs: []string{"spiffe://me"},
	}
	short := "By=spiffe://me;Hash=" + hex.EncodeToString(sum[:])
	pem := "-----BEGIN%20CERTIFICATE-----%0AY2VydGlmaWNhdGUrLz0%3D%0A-----END%20CERTIFICATE-----%0A"
	everything := config.ClientCertDetails{Subject: true, Cert: true, Chain: true, DNS: true, URI: true}
	long := short + `;Cert="` + pem + `";Chain="` + pem + pem + `";Subject="CN=\"a";URI=spiffe://a;URI=spiffe://b;DNS=a.com`
	for i, c := range []struct {
		mode    config.ClientCertMode
		details config.ClientCertDetails
		tls     *stream.TLS
		want    string
	}{
		{config.XFCCSanitize, everything, tls, ""},
		{config.XFCCForwardOnly, everything, tls, "old"},
		{config.XFCCForwardOnly, everything, nil, ""},
		{config.XFCCForwardOnly, everything, &stream.TLS{}, ""},
		{config.XFCCAppendForward, config.ClientCertDetails{}, tls, "old," + short},
		{config.XFCCAppendForward, everything, nil, ""},
		{config.XFCCSanitizeSet, config.ClientCertDetails{}, tls, short},
		{config.XFCCSanitizeSet, everything, tls, long},
		{config.XFCCSanitizeSet, everything, nil, ""},
		{config.XFCCSanitizeSet, config.ClientCertDetails{Subject: true, URI: true}, &stream.TLS{PeerCert: cert}, short[15:] + `;Subject="";URI=`},
		{config.XFCCAlwaysForwardOnly, everything, nil, "old"},
	} {
		m := &config.HTTPManager{ClientCert: c.mode, ClientCertDetails: c.details}
		x := request("GET h /", "x-forwarded-client-cert: old")
		x.Conn.TLS = c.tls
		ClientCert(m, x, ClientCertElement(m, c.tls))
		if got := x.Request.Fields.Value("x-forwarded-client-cert"); got != c.want {
			t.Errorf("%d: %s\nwant %s", i, got, c.want)
		}
	}
}

func TestRequestID(t *testing.T) {
	const made, own = "00010203-0405-4607-8809-0a0b0c0d0e0f", "aaaaaaaa-bbbb-9ccc-8ddd-eeeeeeeeeeee"
	random := [2]uint64{0x0001020304050607, 0x08090a0b0c0d0e0f}
	for i, c := range []struct {
		m    config.HTTPManager
		edge bool
		has  string
		want string
	}{
		{config.HTTPManager{GenerateRequestID: true}, false, "", made},
		{config.HTTPManager{GenerateRequestID: true}, false, own, own},
		{config.HTTPManager{GenerateRequestID: true}, true, own, made},
		{config.HTTPManager{GenerateRequestID: true, PreserveRequestID: true}, true, own, "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"},
		{config.HTTPManager{GenerateRequestID: true, PreserveRequestID: true}, true, "mine", "mine"},
		{config.HTTPManager{}, true, "", ""},
	} {
		x := request("GET h /")
		if c.has != "" {
			x.Request.Fields.Add("x-request-id", c.has)
		}
		SetRequestID(&c.m, x, c.edge, random)
		if got := x.Request.Fields.Value("x-request-id"); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
}

func TestSampleTrace(t *testing.T) {
	id := func(digit string) string { return "0000c350-0000-" + digit + "000-8000-000000000000" } // dice 50 000 of a million
	for i, c := range []struct {
		t      *config.Tracing
		id     string
		fields []string
		want   string
		traced bool
	}{
		{&config.Tracing{Random: 50_001, Overall: 1_000_000}, id("4"), nil, id("9"), true},
		{&config.Tracing{Random: 50_000, Overall: 1_000_000}, id("4"), nil, id("4"), false},
		{&config.Tracing{Random: 1_000_000, Overall: 1}, id("4"), nil, id("4"), false},
		{&config.Tracing{Overall: 1_000_000}, id("9"), nil, id("9"), true},
		{&config.Tracing{Overall: 1_000_000}, id("4"), []string{"x-envoy-force-trace: 1"}, id("a"), true},
		{&config.Tracing{Overall: 1_000_000, Client: 1_000_000}, id("4"), []string{"x-client-trace-id: 1"}, id("b"), true},
		{&config.Tracing{Overall: 1_000_000}, id("4"), []string{"x-client-trace-id: 1"}, id("4"), false},
		{&config.Tracing{Random: 1_000_000, Overall: 1_000_000}, "mine", nil, "mine", false},
		{nil, id("9"), nil, id("9"), false},
	} {
		x := request("GET h /", append(c.fields, "x-request-id: "+c.id)...)
		SampleTrace(&config.HTTPManager{Tracing: c.t}, x, nil)
		if got := x.Request.Fields.Value("x-request-id"); got != c.want || x.Traced != c.traced {
			t.Errorf("%d: %s %v", i, got, x.Traced)
		}
	}
}
