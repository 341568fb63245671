package http

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx/tlstest"
)

// TestForwardProxyTLS: a host that a request names must prove to be that one, whatever its name was resolved to.
func TestForwardProxyTLS(t *testing.T) {
	authority := tlstest.NewAuthority(t, "ca")
	const refused = "reset reason: remote connection failure"
	for name, c := range map[string]struct{ certificate, host, want string }{
		"a name": {"localhost", "localhost", "localhost localhost"}, "an address": {"127.0.0.1", "127.0.0.1", " 127.0.0.1"},
		"another's name": {"shop.test", "localhost", refused}, "another's address": {"127.0.0.9", "127.0.0.1", refused},
	} {
		_, port, _ := net.SplitHostPort(named(t, authority, c.certificate))
		dynamic := cluster("any")
		dynamic.Kind, dynamic.Endpoints = config.DynamicForward, nil
		dynamic.Cache = &config.DNSCache{Name: "c", DNS: config.DNSOptions{V4: true}, MaxHosts: 9, MaxPending: 9}
		dynamic.TLS = &config.ClientTLS{TLSParams: config.TLSParams{Trust: config.NewCell(authority.Trust())}}
		dynamic.HTTP.AutoSNI, dynamic.HTTP.AutoSAN = true, true
		r := newRig(t, nil, func(r *rig) {
			r.extra = append(r.extra, dynamic)
			r.route.Forward.Cluster = "any"
		})
		ask := "GET / HTTP/1.1\r\nHost: " + c.host + ":" + port + "\r\nConnection: close\r\n\r\n"
		if got := r.exchange(ask); !strings.Contains(got, "no healthy upstream") {
			t.Errorf("%s: before it was resolved: %q", name, got)
		}
		if err := r.manager.Resolve(context.Background(), "any", c.host+":"+port); err != nil {
			t.Fatal(err)
		}
		if got := r.exchange(ask); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
