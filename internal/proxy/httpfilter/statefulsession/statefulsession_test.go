package statefulsession

import (
	"context"
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var now = time.Unix(2_000_000_000, 0)

// counted is a filter with the numbers it counts.
func counted(t *testing.T, c *config.StatefulSession) (filter.Filter, map[string]int) {
	t.Helper()
	numbers := map[string]int{}
	f, err := New(c, filter.Deps{Now: func() time.Time { return now }, Counter: func(name string) func() {
		return func() { numbers[name]++ }
	}})
	if err != nil {
		t.Fatal(err)
	}
	return f, numbers
}

// asks is a request with a header that asks for a host.
func asks(name, value string) *stream.Exchange {
	x := &stream.Exchange{}
	x.Request.Path = "/a"
	if value != "" {
		x.Request.Fields.Add(name, value)
	}
	return x
}

// answered is x after the host of that address has answered; "": none was chosen.
func answered(f filter.Filter, x *stream.Exchange, address string) *stream.Exchange {
	if address != "" {
		x.Upstream.Endpoint = &config.Endpoint{Address: netip.MustParseAddrPort(address)}
	}
	f.(filter.Responder).Response(x)
	return x
}

func plain(host string) string { return base64.StdEncoding.EncodeToString([]byte(host)) }

// TestCookie: a client without a cookie is told its host; one that asks for its host isn't told again.
func TestCookie(t *testing.T) {
	f, counts := counted(t, &config.StatefulSession{StatPrefix: "p", Strict: true, NotFound: 404, Cookie: &config.SessionCookie{
		Name: "c", Path: "/", TTL: time.Minute, Attributes: [][2]string{{"SameSite", "Lax"}, {"Secure", ""}},
	}})
	x := asks("", "")
	f.Request(context.Background(), x, nil)
	if s := x.Session(); s.Host != "" {
		t.Errorf("nobody asked, and %+v", s)
	}
	answered(f, x, "10.0.0.1:80")
	set := x.Response.Fields.Value("set-cookie")
	value := base64.StdEncoding.EncodeToString([]byte("\n\x0b10.0.0.1:80\x10\xbc\xa8\xd6\xb9\x07"))
	if want := `c="` + value + `"; Max-Age=60; Path=/; SameSite=Lax; Secure; HttpOnly`; set != want {
		t.Errorf("got  %s\nwant %s", set, want)
	}
	x = asks("cookie", "a=b; c="+value)
	f.Request(context.Background(), x, nil)
	if s := x.Session(); s.Host != "10.0.0.1:80" || !s.Strict || s.Status != 404 {
		t.Errorf("%+v", s)
	}
	if answered(f, x, "10.0.0.1:80"); x.Response.Fields.Len() != 0 {
		t.Errorf("it was told again: %v", x.Response.Fields.Value("set-cookie"))
	}
	x = asks("cookie", "c="+value)
	f.Request(context.Background(), x, nil)
	x.Flags = stream.NoHealthyUpstream
	answered(f, x, "")
	if counts["stateful_session.p.routed"] != 1 || counts["stateful_session.p.failed_closed"] != 1 || counts["stateful_session.p.failed_open"] != 0 {
		t.Errorf("counted %v", counts)
	}
}

func TestHeader(t *testing.T) {
	f, counts := counted(t, &config.StatefulSession{StatPrefix: "p", Header: "x-session"})
	x := asks("x-session", plain("10.0.0.1:80"))
	f.Request(context.Background(), x, nil)
	if s := x.Session(); s.Host != "10.0.0.1:80" || s.Strict {
		t.Errorf("%+v", s)
	}
	x.Response.Fields.Add("x-session", "the application's")
	answered(f, x, "[2001:db8::1]:443")
	if got, _ := x.Response.Fields.Joined("x-session"); got != plain("[2001:db8::1]:443") {
		t.Errorf("told %q", got)
	}
	if counts["stateful_session.p.failed_open"] != 1 {
		t.Errorf("counted %v", counts)
	}
	x = asks("", "")
	f.Request(context.Background(), x, nil)
	x.Upstream.Endpoint = &config.Endpoint{Pipe: "/run/app"}
	f.(filter.Responder).Response(x)
	if got := x.Response.Fields.Value("x-session"); got != plain("/run/app") {
		t.Errorf("told %q of a socket", got)
	}
}

// TestPaths: the client wouldn't send the cookie for other paths.
func TestPaths(t *testing.T) {
	for _, c := range []struct {
		cookie, path string
		want         bool
	}{
		{"", "/x", true}, {"/", "/x", true}, {"/a/", "/a/b", true}, {"/a/", "/a", false}, {"/a", "/a", true},
		{"/a", "/a?q", true}, {"/a", "/a#f", true}, {"/a", "/a/b", true}, {"/a", "/ab", false}, {"/a", "/b", false},
	} {
		f, counts := counted(t, &config.StatefulSession{StatPrefix: "p", Cookie: &config.SessionCookie{Name: "c", Path: c.cookie}})
		x := asks("", "")
		x.Request.Path = c.path
		f.Request(context.Background(), x, nil)
		answered(f, x, "10.0.0.1:80")
		if told := x.Response.Fields.Len() == 1; told != c.want || (counts["stateful_session.p.no_session"] == 1) == c.want {
			t.Errorf("%+v: told %t, %v", c, told, counts)
		}
	}
}

// TestOverride: a route's configuration replaces the filter's, whatever type it claims to be.
func TestOverride(t *testing.T) {
	f, _ := counted(t, &config.StatefulSession{Header: "x-session", Strict: true})
	for _, c := range []struct {
		own  any
		want stream.Session
	}{
		{&config.StatefulSession{Header: "x-other"}, stream.Session{Host: "10.0.0.2:80"}}, {&config.StatefulSession{}, stream.Session{}}, {nil, stream.Session{}},
	} {
		o, err := f.(filter.Overrider).Override(c.own)
		if err != nil {
			t.Fatal(err)
		}
		x := asks("x-other", plain("10.0.0.2:80"))
		o.Request(context.Background(), x, nil)
		got := x.Session()
		if got.Owner = nil; got != c.want {
			t.Errorf("%+v: %+v", c.own, got)
		}
		answered(o, x, "10.0.0.1:80")
	}
}

func TestTrace(t *testing.T) {
	f, _ := counted(t, &config.StatefulSession{Header: "x-session"})
	var tr stream.Trace
	f.Request(context.Background(), asks("x-session", plain("10.0.0.1:80")), &tr)
	if len(tr.Steps) != 1 || !strings.Contains(tr.Steps[0].Reason, "10.0.0.1:80") {
		t.Errorf("%+v", tr.Steps)
	}
}
