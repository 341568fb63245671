package http

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx/tlstest"
)

// named is a server behind TLS with a certificate for host, that answers with the server name it was asked for.
func named(t *testing.T, authority *tlstest.Authority, host string) string {
	t.Helper()
	own := authority.Server(t, host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.TLS.ServerName, r.Host)
	})}
	t.Cleanup(func() { _ = s.Close() })
	go func() {
		_ = s.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{{Certificate: own.Chain, PrivateKey: own.Key}}}))
	}()
	return l.Addr().String()
}

// TLS to a cluster with auto_sni asks for the request's host, and with auto_san_validation it must be that one.
func TestAutoSNI(t *testing.T) {
	authority := tlstest.NewAuthority(t, "ca")
	shop, address := named(t, authority, "shop.test"), named(t, authority, "127.0.0.9")
	const refused = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
	for name, c := range map[string]struct {
		backend  string
		host     string
		sni, san bool
		want     string
	}{
		"name":             {shop, "shop.test:8443", true, true, "shop.test there"},
		"another's name":   {shop, "pay.test", true, true, refused},
		"not validated":    {shop, "pay.test", true, false, "pay.test there"},
		"validated alone":  {shop, "shop.test", false, true, " there"},
		"wrong, no SNI":    {shop, "pay.test", false, true, refused},
		"address":          {address, "127.0.0.9:1", true, true, " there"},
		"another address":  {address, "127.0.0.8", true, true, refused},
		"neither is asked": {shop, "pay.test", false, false, " there"},
	} {
		t.Run(name, func(t *testing.T) {
			backend := cluster("secure", c.backend)
			backend.TLS = &config.ClientTLS{TLSParams: config.TLSParams{Trust: config.NewCell(authority.Trust())}}
			backend.HTTP.AutoSNI, backend.HTTP.AutoSAN = c.sni, c.san
			r := newRig(t, nil, func(r *rig) {
				r.extra = append(r.extra, backend)
				r.route.Forward.Cluster, r.route.Forward.HostRewrite = "secure", "there"
			})
			got := r.exchange("GET / HTTP/1.1\r\nHost: " + c.host + "\r\nConnection: close\r\n\r\n")
			if !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestAutoSNIShared: a connection for one host isn't used for another one, of whichever version of HTTP.
func TestAutoSNIShared(t *testing.T) {
	authority := tlstest.NewAuthority(t, "ca")
	backend := cluster("secure", named(t, authority, "shop.test"))
	backend.TLS = &config.ClientTLS{TLSParams: config.TLSParams{Trust: config.NewCell(authority.Trust())}}
	backend.HTTP.AutoSNI = true
	r := newRig(t, nil, func(r *rig) {
		r.extra = append(r.extra, backend)
		r.route.Forward.Cluster = "secure"
	})
	for range 2 {
		for _, host := range []string{"a.test", "b.test"} {
			got := r.exchange("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
			if !strings.Contains(got, "\r\n\r\n"+host+" "+host) {
				t.Errorf("%q", got)
			}
		}
	}
}
