package listener

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/proxyproto"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// introducing is a listener that wants to be told for whom connections are, then tells TLS, HTTP and the rest apart.
func introducing(c config.ProxyProtocol) *config.Listener {
	l := inspecting()
	l.Inspectors = append([]config.Inspector{{Kind: config.ProxyProtocolFilter, Proxy: &c}}, l.Inspectors...)
	return l
}

// headerOf is one that says 192.0.2.1:1000 to 192.0.2.2:443.
func headerOf(t *testing.T, v proxyproto.Version, tlvs ...stream.TLV) string {
	t.Helper()
	h := proxyproto.Header{Version: v, Source: netip.MustParseAddrPort("192.0.2.1:1000"), Destination: netip.MustParseAddrPort("192.0.2.2:443"), TLVs: tlvs}
	b, err := h.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestIntroduced: a header of either version is taken off, at once or in pieces, and believed; what comes behind it is looked
// at as if it were the first.
func TestIntroduced(t *testing.T) {
	hello := string(clientHello(t, &tls.Config{ServerName: "a.b"}))
	for version, header := range map[string]string{"v1": headerOf(t, proxyproto.V1), "v2": headerOf(t, proxyproto.V2)} {
		for chain, bytes := range map[string]string{"tls": hello, "http": "GET / HTTP/1.1\r\n", "raw": "*1\r\n"} {
			for _, pieces := range []bool{false, true} {
				r := newRig(t, introducing(config.ProxyProtocol{StatPrefix: "p"}))
				client := r.dial()
				go func() {
					rest := header + bytes
					for pieces && len(rest) > len(bytes)-1 {
						_, _ = client.Write([]byte(rest[:1]))
						rest = rest[1:]
						runtime.Gosched()
					}
					_, _ = client.Write([]byte(rest))
				}()
				conn := r.wantChain(client, chain, bytes)
				if conn.Remote.String() != "192.0.2.1:1000" || conn.Local.String() != "192.0.2.2:443" || conn.Direct() != client.LocalAddr().(*net.TCPAddr).AddrPort() {
					t.Errorf("from %s to %s by %s", conn.Remote, conn.Local, conn.Direct())
				}
				if n := r.Store.Counter("proxy_proto.p.versions." + version + ".found").Load(); n != 1 {
					t.Errorf("%d headers of %s were counted", n, version)
				}
			}
		}
	}
}

// TestNotIntroduced: LOCAL and UNKNOWN leave the addresses as they are, and so do connections without a header, if they are
// let through.
func TestNotIntroduced(t *testing.T) {
	v2 := headerOf(t, proxyproto.V2)
	for name, c := range map[string]struct {
		config         config.ProxyProtocol
		bytes, rest    string
		counted, chain string
	}{
		"LOCAL":              {config.ProxyProtocol{}, v2[:12] + "\x20\x00\x00\x00*1\r\n", "*1\r\n", "versions.v2.found", "raw"},
		"UNKNOWN":            {config.ProxyProtocol{}, "PROXY UNKNOWN\r\n*1\r\n", "*1\r\n", "versions.v1.found", "raw"},
		"none, optional":     {config.ProxyProtocol{Optional: true}, "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n", "not_found_allowed", "http"},
		"half, optional":     {config.ProxyProtocol{Optional: true}, "PROX", "PROX", "not_found_allowed", "raw"},
		"v2 not looked for":  {config.ProxyProtocol{Optional: true, NoV2: true}, v2, v2, "not_found_allowed", "raw"},
		"disabled elsewhere": {config.ProxyProtocol{StatPrefix: "off"}, "*1\r\n", "*1\r\n", "", "raw"},
	} {
		t.Run(name, func(t *testing.T) {
			l := introducing(c.config)
			if c.counted == "" {
				l.Inspectors[0].Disabled = &config.PortMatch{Any: true}
			}
			r := newRig(t, l)
			client := r.dial()
			if _, err := client.Write([]byte(c.bytes)); err != nil {
				t.Fatal(err)
			}
			if name == "half, optional" {
				_ = client.CloseWrite()
			}
			conn := r.wantChain(client, c.chain, c.rest)
			if conn.Remote != client.LocalAddr().(*net.TCPAddr).AddrPort() || conn.Local.String() != "10.0.0.1:80" || conn.Direct() != conn.Remote {
				t.Errorf("from %s to %s by %s", conn.Remote, conn.Local, conn.Direct())
			}
			if n := r.Store.Counter("proxy_proto." + c.counted).Load(); c.counted != "" && n != 1 {
				t.Errorf("%s is %d", c.counted, n)
			}
		})
	}
}

// TestNotLetIn: who doesn't say for whom it connects, or says it wrongly, is closed.
func TestNotLetIn(t *testing.T) {
	v1, v2 := headerOf(t, proxyproto.V1), headerOf(t, proxyproto.V2)
	for name, c := range map[string]struct {
		config         config.ProxyProtocol
		bytes, counted string
	}{
		"none":          {config.ProxyProtocol{}, "GET / HTTP/1.1\r\n", "not_found_disallowed"},
		"empty":         {config.ProxyProtocol{}, "", "not_found_disallowed"},
		"malformed":     {config.ProxyProtocol{Optional: true}, "PROXY TCP4 a b c d\r\n", "versions.v1.error"},
		"half a header": {config.ProxyProtocol{}, v2[:20], "versions.v2.error"},
		"v1 disallowed": {config.ProxyProtocol{NoV1: true}, v1, "versions.v1.disallowed"},
		"v2 disallowed": {config.ProxyProtocol{NoV2: true}, v2, "versions.v2.disallowed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, introducing(c.config))
			client := r.dial()
			if _, err := client.Write([]byte(c.bytes)); err != nil {
				t.Fatal(err)
			}
			_ = client.CloseWrite()
			wantClosed(t, client)
			if n := r.Store.Counter("proxy_proto." + c.counted).Load(); n != 1 {
				t.Errorf("%s is %d", c.counted, n)
			}
		})
	}
}

// TestSlowIntroduction: a header that doesn't come ends with the listener's timeout.
func TestSlowIntroduction(t *testing.T) {
	for _, bytes := range []string{"", "PROXY TCP4 "} {
		for optional, goesOn := range map[bool]bool{false: false, true: true} {
			l := introducing(config.ProxyProtocol{Optional: optional})
			l.InspectTimeout, l.ContinueOnTimeout = time.Millisecond, true
			r := newRig(t, l)
			client := r.dial()
			_, _ = client.Write([]byte(bytes))
			if !goesOn {
				wantClosed(t, client)
				continue
			}
			r.wantChain(client, "raw", bytes)
		}
	}
}

// TestTLVs: rules write metadata, the others are kept if they are to be passed on.
func TestTLVs(t *testing.T) {
	r := newRig(t, introducing(config.ProxyProtocol{
		Rules: []config.TLVRule{{Type: 0xea, Namespace: "n", Key: "vpc"}, {Type: 0xeb, Namespace: "n", Key: "b", Base64: true}, {Type: 1, Namespace: "m", Key: "none"}},
		Pass:  &config.TLVPass{Types: []byte{0xeb}},
	}))
	client := r.dial()
	_, _ = client.Write([]byte(headerOf(t, proxyproto.V2, stream.TLV{Type: 0xea, Value: []byte("vpc-1\xff")}, stream.TLV{Type: 0xeb, Value: []byte("\x00\x01")}) + "*1\r\n"))
	conn := r.wantChain(client, "raw", "*1\r\n")
	if want := map[string]map[string]any{"n": {"vpc": "vpc-1!", "b": "AAE="}}; !reflect.DeepEqual(conn.Metadata, want) {
		t.Errorf("metadata %v", conn.Metadata)
	}
	if got := fmt.Sprint(conn.Remote, conn.Local, conn.TLVs); got != "192.0.2.1:1000 192.0.2.2:443 [{235 [0 1]}]" {
		t.Errorf("upstreams would be told %s", got)
	}
}

// TestIntroducedThenHandedOff: the listener is that of the destination the header tells, and the chain fits it.
func TestIntroducedThenHandedOff(t *testing.T) {
	from := introducing(config.ProxyProtocol{})
	from.HandOff = true
	target := &config.Listener{Name: "target", Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:443")}, Chains: []*config.Chain{
		tcpChain("far", config.ChainMatch{Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}), tcpChain("near", config.ChainMatch{}),
	}}
	r := newRig(t, from, target)
	client := r.dial()
	_, _ = client.Write([]byte(headerOf(t, proxyproto.V1) + "hello"))
	if conn := r.wantChain(client, "far", "hello"); conn.Listener != target {
		t.Errorf("listener %s", conn.Listener.Name)
	}
}

// TestOriginalSource: the connection knows that upstreams are to see its client.
func TestOriginalSource(t *testing.T) {
	l := inspecting()
	want := &config.OriginalSource{Mark: 7}
	l.Inspectors = append(l.Inspectors, config.Inspector{Kind: config.OriginalSourceFilter, Source: want})
	r := newRig(t, l)
	client := r.dial()
	_, _ = client.Write([]byte("*1\r\n"))
	if conn := r.wantChain(client, "raw", "*1\r\n"); conn.OriginalSource != want {
		t.Errorf("original source %v", conn.OriginalSource)
	}
}
