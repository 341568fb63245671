package route

import (
	"crypto/x509"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func regex(t testing.TB, source string) *config.Regex {
	t.Helper()
	r, err := config.NewRegex(source)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(kind config.StringKind, value string) *config.StringMatch {
	return &config.StringMatch{Kind: kind, Value: value}
}

// upgrade makes x ask for a WebSocket, as HTTP/1.1 does, and HTTP/2 by CONNECT with a protocol.
func upgrade(x *stream.Exchange) *stream.Exchange {
	x.Request.Upgrade = "websocket"
	return x
}

func TestMatches(t *testing.T) {
	yes, no := true, false
	for i, c := range []struct {
		m    config.RouteMatch
		x    *stream.Exchange
		want bool
	}{
		{config.RouteMatch{Path: "/a"}, request("GET h /abc?x"), true},
		{config.RouteMatch{Path: "/a?x"}, request("GET h /a?x"), false},
		{config.RouteMatch{Path: "/A"}, request("GET h /abc"), false},
		{config.RouteMatch{Path: "/A", IgnoreCase: true}, request("GET h /abc"), true},
		{config.RouteMatch{Kind: config.PathExact, Path: "/a"}, request("GET h /a?x"), true},
		{config.RouteMatch{Kind: config.PathExact, Path: "/a"}, request("GET h /a/"), false},
		{config.RouteMatch{Kind: config.PathExact, Path: "/A", IgnoreCase: true}, request("GET h /a"), true},
		{config.RouteMatch{Kind: config.PathSeparatedPrefix, Path: "/a"}, request("GET h /a"), true},
		{config.RouteMatch{Kind: config.PathSeparatedPrefix, Path: "/a"}, request("GET h /a/b"), true},
		{config.RouteMatch{Kind: config.PathSeparatedPrefix, Path: "/a"}, request("GET h /ab"), false},
		{config.RouteMatch{Kind: config.PathRegex, Regex: regex(t, "/a.?")}, request("GET h /ab?x"), true},
		{config.RouteMatch{Kind: config.PathRegex, Regex: regex(t, "/a.?")}, request("GET h /abc"), false},
		{config.RouteMatch{Kind: config.PathConnect}, request("CONNECT h:1 "), true},
		{config.RouteMatch{Kind: config.PathConnect}, request("GET h /"), false},
		{config.RouteMatch{Kind: config.PathConnect}, upgrade(request("GET h /")), false},
		{config.RouteMatch{Path: "/"}, request("CONNECT h:1 "), false},
		{config.RouteMatch{Path: "/", GRPC: true}, request("POST h /", "content-type: application/grpc+proto"), true},
		{config.RouteMatch{Path: "/", GRPC: true}, request("POST h /", "content-type: application/grpc"), true},
		{config.RouteMatch{Path: "/", GRPC: true}, request("POST h /", "content-type: application/grpc-web"), false},
		{config.RouteMatch{Path: "/", GRPC: true}, request("POST h /"), false},
		{config.RouteMatch{Path: "/", Query: []config.QueryMatch{{Name: "q", Value: text(config.StringPrefix, "x")}}}, request("GET h /?a=1&q=xy&q=z"), true},
		{config.RouteMatch{Path: "/", Query: []config.QueryMatch{{Name: "q", Value: text(config.StringPrefix, "x")}}}, request("GET h /?q=z&q=x"), false},
		{config.RouteMatch{Path: "/", Query: []config.QueryMatch{{Name: "q"}}}, request("GET h /?q"), true},
		{config.RouteMatch{Path: "/", Query: []config.QueryMatch{{Name: "q"}}}, request("GET h /?qq"), false},
		{config.RouteMatch{Path: "/", Headers: []config.HeaderMatch{{Name: ":method", Value: text(0, "GET")}}}, request("GET h /"), true},
		{config.RouteMatch{Path: "/", Headers: []config.HeaderMatch{{Name: ":authority", Value: text(config.StringSuffix, "h")}}}, request("GET h /"), true},
		{config.RouteMatch{Path: "/", Headers: []config.HeaderMatch{{Name: "a", Value: text(0, "1,2")}}}, request("GET h /", "a: 1", "a: 2"), true},
		{config.RouteMatch{Path: "/", Headers: []config.HeaderMatch{{Name: "a", Value: text(config.StringContains, "x"), Invert: true}}}, request("GET h /", "a: 1"), true},
		{config.RouteMatch{Path: "/", TLS: &config.TLSMatch{Presented: &yes}}, request("GET h /"), false},
		{config.RouteMatch{Path: "/", TLS: &config.TLSMatch{Presented: &no, Validated: &no}}, request("GET h /"), true},
		{config.RouteMatch{Path: "/", Metadata: []config.MetadataMatch{{Filter: "f", Path: []string{"k"}, Value: config.ValueMatch{Present: &yes}}}}, request("GET h /"), false},
	} {
		if got := Matches(&c.m, c.x, 0, nil); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
	x := request("GET h /")
	x.Conn.TLS = &stream.TLS{Mutual: true, PeerCert: &x509.Certificate{}}
	if !Matches(&config.RouteMatch{Path: "/", TLS: &config.TLSMatch{Presented: &yes, Validated: &yes}}, x, 0, nil) {
		t.Error("a client certificate isn't seen")
	}
}

func TestRewrite(t *testing.T) {
	for i, c := range []struct {
		m          config.RouteMatch
		f          config.Forward
		line, want string
	}{
		{config.RouteMatch{Path: "/api/"}, config.Forward{PrefixRewrite: "/"}, "GET h /api/v1?q=/api/", "h /v1?q=/api/"},
		{config.RouteMatch{Path: "/API", IgnoreCase: true}, config.Forward{PrefixRewrite: "/x"}, "GET h /api/v1", "h /x/v1"},
		{config.RouteMatch{Kind: config.PathExact, Path: "/a"}, config.Forward{PrefixRewrite: "/b"}, "GET h /a?q", "h /b?q"},
		{config.RouteMatch{Kind: config.PathSeparatedPrefix, Path: "/a"}, config.Forward{PrefixRewrite: "/b"}, "GET h /a/c", "h /b/c"},
		{config.RouteMatch{Kind: config.PathRegex, Regex: regex(t, ".*")}, config.Forward{PrefixRewrite: "/b"}, "GET h /a/c?q", "h /b?q"},
		{config.RouteMatch{Path: "/"}, config.Forward{RegexRewrite: &config.RegexRewrite{Pattern: regex(t, "^/([^/]+)/(.*)$"), Substitution: `/\2/\1`}}, "GET h /a/b?a", "h /b/a?a"},
		{config.RouteMatch{Path: "/"}, config.Forward{RegexRewrite: &config.RegexRewrite{Pattern: regex(t, "^/"), Substitution: "x"}}, "GET h /a", "h /xa"},
		{config.RouteMatch{Kind: config.PathTemplate, Regex: regex(t, "/(?P<a>[^/]+)/(?P<b>.*)")}, config.Forward{PathTemplate: "/{b}/x/{a}"}, "GET h /1/2/3", "h /2/3/x/1"},
		{config.RouteMatch{Path: "/"}, config.Forward{HostRewrite: "new:1"}, "GET h /", "new:1 /"},
		{config.RouteMatch{Path: "/"}, config.Forward{HostFromHeader: "x-host"}, "GET h /", "fromheader /"},
		{config.RouteMatch{Path: "/"}, config.Forward{HostFromHeader: "x-none"}, "GET h /", "h /"},
		{config.RouteMatch{Path: "/"}, config.Forward{HostFromPath: &config.RegexRewrite{Pattern: regex(t, "^/(.+)/.*$"), Substitution: `\1.com`}}, "GET h /shop/x?q/", "shop.com /shop/x?q/"},
		{config.RouteMatch{Path: "/"}, config.Forward{}, "GET h /", "h /"},
	} {
		x := request(c.line, "x-host: fromheader")
		before := x.Request.Path
		x.Route = &config.Route{Match: c.m, Forward: &c.f}
		Rewrite(x, false)
		if got := x.Request.Authority + " " + x.Request.Path; got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
		original := x.Request.Fields.Value("x-envoy-original-path")
		if changed := x.Request.Path != before; changed != (original == before) || changed != (x.Request.OriginalPath == before) {
			t.Errorf("%d: original path %q and %q", i, original, x.Request.OriginalPath)
		}
	}
}

func TestForwardedHostAndSuppressed(t *testing.T) {
	x := request("GET h /a")
	x.Route = &config.Route{Match: config.RouteMatch{Path: "/a"}, Forward: &config.Forward{HostRewrite: "n", PrefixRewrite: "/b", ForwardedHost: true}}
	x.Weighted = &config.WeightedCluster{HostRewrite: "w"}
	Rewrite(x, true)
	RewriteHost(x, "endpoint")
	if got := list(&x.Request.Fields); got != "x-forwarded-host=h,w " || x.Request.Authority != "endpoint" || x.Request.Path != "/b" {
		t.Errorf("%s %s %s", got, x.Request.Authority, x.Request.Path)
	}
	Rewrite(x, false) // as a retry does
	if x.Request.OriginalPath != "/a" {
		t.Errorf("the path was %s at first", x.Request.OriginalPath)
	}
	for host, want := range map[string]string{"a": "a-shadow", "a:80": "a-shadow:80", "[::1]:80": "[::1]-shadow:80"} {
		if got := ShadowHost(host); got != want {
			t.Errorf("shadow of %s: %s", host, got)
		}
	}
}

func TestLocation(t *testing.T) {
	for i, c := range []struct {
		r           config.Redirect
		proto, line string
		want        string
	}{
		{config.Redirect{Scheme: "https"}, "http", "GET h:80 /p?q", "https://h/p?q"},
		{config.Redirect{Scheme: "https"}, "http", "GET h:8080 /p", "https://h:8080/p"},
		{config.Redirect{Scheme: "http"}, "https", "GET h:443 /", "http://h/"},
		{config.Redirect{Host: "new"}, "http", "GET h:80 /p", "http://new/p"},
		{config.Redirect{Port: 8443, Scheme: "https"}, "http", "GET h:80 /", "https://h:8443/"},
		{config.Redirect{Path: "/x"}, "http", "GET h /p?q", "http://h/x?q"},
		{config.Redirect{Path: "/x"}, "http", "GET h:80 /p", "http://h:80/x"},
		{config.Redirect{Path: "/x", StripQuery: true}, "http", "GET h /p?q", "http://h/x"},
		{config.Redirect{Path: "/x?y", StripQuery: true}, "http", "GET h /p?q", "http://h/x?y"},
		{config.Redirect{HasPrefix: true, PrefixRewrite: "/n"}, "http", "GET h /p/a?q", "http://h/n/a?q"},
		{config.Redirect{HasPrefix: true}, "http", "GET h /p/a", "http://h/a"},
		{config.Redirect{RegexRewrite: &config.RegexRewrite{Pattern: regex(t, "^/p/(.*)$"), Substitution: `/\1/p`}, StripQuery: true}, "https", "GET h /p/a?q", "https://h/a/p"},
		{config.Redirect{Host: "[::1]", Port: 1}, "http", "GET h /p", "http://[::1]:1/p"},
	} {
		x := request(c.line, "x-forwarded-proto: "+c.proto)
		if got := Location(&c.r, &config.RouteMatch{Path: "/p"}, x); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
}
