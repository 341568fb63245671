package http

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx/tlstest"
)

// negotiating is a server of net/http behind TLS that agrees to one of protos.
func negotiating(t *testing.T, protos ...string) string {
	t.Helper()
	own := tlstest.NewAuthority(t, "ca").Server(t, "localhost")
	pair := tls.Certificate{Certificate: own.Chain, PrivateKey: own.Key}
	l := sockettest.Listen(t)
	s := &http.Server{Handler: http.HandlerFunc(echo), Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: protos}
	go func() { _ = s.Serve(tls.NewListener(l, s.TLSConfig)) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// A cluster with auto_config speaks what its hosts agree to.
func TestAutoUpstream(t *testing.T) {
	for name, c := range map[string]struct {
		offers []string // of the cluster's transport socket
		agrees []string
		want   string
	}{
		"both":               {nil, []string{"h2", "http/1.1"}, "HTTP/2.0"},
		"HTTP/1.1 alone":     {nil, []string{"http/1.1"}, "HTTP/1.1"},
		"no ALPN":            {nil, nil, "HTTP/1.1"},
		"as the socket says": {[]string{"http/1.1"}, []string{"h2", "http/1.1"}, "HTTP/1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			backend := cluster("secure", negotiating(t, c.agrees...))
			backend.TLS = &config.ClientTLS{TLSParams: config.TLSParams{ALPN: c.offers}}
			backend.HTTP.Protocol = config.UpstreamAuto
			r := newRig(t, nil, func(r *rig) {
				r.extra = append(r.extra, backend)
				r.route.Forward.Cluster = "secure"
			})
			client := r.client()
			want := fmt.Sprintf("%s POST %s 3", c.want, r.address)
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					for range 10 {
						if _, body := r.do(client, "POST", "/", "abc"); body != want {
							t.Errorf("%q, want %q", body, want)
						}
					}
				})
			}
			all.Wait()
			stats := r.manager.Cluster("secure").Stats
			one, two := stats.CxHTTP1.Load(), stats.CxHTTP2.Load()
			if made := stats.CxTotal.Load(); two > 10 || one+two != made || (two > 0) != (c.want == "HTTP/2.0") || one > 0 && two > 0 {
				t.Errorf("%d connections, %d of HTTP/1.1 and %d of HTTP/2", made, one, two)
			}
		})
	}
}

// Without TLS nothing can be agreed upon: that is HTTP/1.1.
func TestAutoPlaintext(t *testing.T) {
	r := newRig(t, []string{served(t, echo)}, func(r *rig) { r.protocol = config.UpstreamAuto })
	if _, body := r.do(r.client(), "POST", "/", "abc"); body != "HTTP/1.1 POST "+r.address+" 3" {
		t.Error(body)
	}
}
