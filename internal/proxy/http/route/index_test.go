package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// request makes an exchange: "GET host /path", then header fields "name: value".
func request(line string, fields ...string) *stream.Exchange {
	x := &stream.Exchange{Conn: &stream.Conn{
		Remote: netip.MustParseAddrPort("10.1.2.3:4000"), Local: netip.MustParseAddrPort("10.9.9.9:80"),
	}}
	parts := strings.SplitN(line, " ", 3)
	x.Request.Method, x.Request.Authority, x.Request.Path = parts[0], parts[1], parts[2]
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		x.Request.Fields.Add(name, value)
	}
	return x
}

func virtualHost(name string, domains ...string) *config.VirtualHost {
	return &config.VirtualHost{Name: name, Domains: domains, Routes: []*config.Route{{
		Name: "all", Match: config.RouteMatch{Path: "/"}, Forward: &config.Forward{Cluster: name},
	}}}
}

func TestVirtualHosts(t *testing.T) {
	table := &config.RouteTable{VirtualHosts: []*config.VirtualHost{
		virtualHost("exact", "www.a.com", "a.com:8080"), virtualHost("suffix", "*.a.com"),
		virtualHost("longer", "*.b.a.com", "*-x.b.a.com"), virtualHost("prefix", "www.*"),
		virtualHost("longprefix", "www.c.*"), virtualHost("v6", "[::1]"), virtualHost("rest", "*"),
	}}
	for host, want := range map[string]string{
		"www.a.com": "exact", "WWW.A.com": "exact", "a.com:8080": "exact", "x.a.com": "suffix", ".a.com": "rest",
		"y.b.a.com": "longer", "y-x.b.a.com": "longer", "www.z": "prefix", "www.": "rest", "www.c.d": "longprefix",
		"www.c.": "prefix", "": "rest", "[::1]": "v6", "[::1]:80": "rest",
	} {
		v, r := NewIndex(table).Match(request("GET "+host+" /"), 0, nil)
		if v == nil || v.Name != want || r == nil {
			t.Errorf("%q: %+v, want %s", host, v, want)
		}
	}
	table.IgnorePort = true
	for host, want := range map[string]string{"www.a.com:99": "exact", "[::1]:80": "v6", "::1": "rest", "a.com:8080": "rest"} {
		if v, _ := NewIndex(table).Match(request("GET "+host+" /"), 0, nil); v.Name != want {
			t.Errorf("without port %q: %s, want %s", host, v.Name, want)
		}
	}
	table.VirtualHosts = table.VirtualHosts[:1]
	if v, r := NewIndex(table).Match(request("GET none /"), 0, nil); v != nil || r != nil {
		t.Errorf("an unknown host got %v", v)
	}
	if v, _ := NewIndex(nil).Match(request("GET none /"), 0, nil); v != nil {
		t.Error("no table has a host")
	}
}

func TestRequireTLS(t *testing.T) {
	v := virtualHost("v", "*")
	index := NewIndex(&config.RouteTable{VirtualHosts: []*config.VirtualHost{v}})
	for i, c := range []struct {
		want     config.RequireTLS
		proto    string
		internal bool
		redirect bool
	}{
		{config.TLSNotRequired, "http", false, false}, {config.TLSAll, "http", true, true},
		{config.TLSAll, "https", false, false}, {config.TLSExternalOnly, "http", false, true},
		{config.TLSExternalOnly, "http", true, false},
	} {
		v.RequireTLS = c.want
		x := request("GET a.com:80 /p?q", "x-forwarded-proto: "+c.proto)
		x.Internal = c.internal
		_, r := index.Match(x, 0, nil)
		if (r.Redirect != nil) != c.redirect {
			t.Errorf("%d: %+v", i, r)
		}
		if r.Redirect != nil && Location(r.Redirect, &r.Match, x) != "https://a.com/p?q" {
			t.Errorf("%d: to %s", i, Location(r.Redirect, &r.Match, x))
		}
	}
}

// slowly is Match as the specification reads, one after the other.
func slowly(table *config.RouteTable, x *stream.Exchange) (string, *config.Route) {
	host := strings.ToLower(x.Request.Authority)
	var best *config.VirtualHost
	rank := 0
	for _, v := range table.VirtualHosts {
		for _, d := range v.Domains {
			r := 0
			switch {
			case d == host:
				r = 1_000_000
			case d == "*":
				r = 1
			case d[0] == '*' && strings.HasSuffix(host, d[1:]) && len(host) >= len(d):
				r = 10_000 + len(d)
			case d[len(d)-1] == '*' && strings.HasPrefix(host, d[:len(d)-1]) && len(host) >= len(d):
				r = 100 + len(d)
			}
			if r > rank {
				best, rank = v, r
			}
		}
	}
	if best == nil {
		return "", nil
	}
	for _, r := range best.Routes {
		if slowMatch(&r.Match, x) {
			return best.Name, r
		}
	}
	return best.Name, nil
}

func slowMatch(m *config.RouteMatch, x *stream.Exchange) bool {
	path := strings.Split(x.Request.Path, "?")[0]
	if m.Kind == config.PathRegex {
		if !m.Regex.Match(path) {
			return false
		}
	} else {
		want := m.Path
		if m.IgnoreCase {
			path, want = strings.ToLower(path), strings.ToLower(want)
		}
		ok := map[config.PathKind]bool{
			config.PathExact:           path == want,
			config.PathPrefix:          strings.HasPrefix(path, want),
			config.PathSeparatedPrefix: path == want || strings.HasPrefix(path, want+"/"),
		}[m.Kind]
		if !ok {
			return false
		}
	}
	for _, h := range m.Headers {
		value, there := x.Request.Joined(h.Name)
		if there != *h.Present || there && value == "never" {
			return false
		}
	}
	return true
}

// words make paths and hosts collide often.
var words = []string{"a", "b", "ab", "A", "aB", "c"}

func word(r *rand.Rand) string { return words[r.IntN(len(words))] }

func randomPath(r *rand.Rand) string {
	path := ""
	for range r.IntN(4) {
		path += "/" + word(r)
	}
	if path == "" || r.IntN(4) == 0 {
		path += "/"
	}
	return path
}

func randomTable(r *rand.Rand) *config.RouteTable {
	table := &config.RouteTable{}
	taken := map[string]bool{}
	for i := range 1 + r.IntN(8) {
		v := &config.VirtualHost{Name: fmt.Sprint("v", i)}
		for range 1 + r.IntN(4) {
			d := strings.ToLower(word(r) + "." + word(r))
			d = []string{d, "*." + d, "*-" + d, d + ".*", d + "*", "*"}[r.IntN(6)]
			if !taken[d] {
				taken[d] = true
				v.Domains = append(v.Domains, d)
			}
		}
		for j := range r.IntN(30) {
			v.Routes = append(v.Routes, &config.Route{Name: fmt.Sprint("r", j), Match: randomMatch(r)})
		}
		table.VirtualHosts = append(table.VirtualHosts, v)
	}
	return table
}

func randomMatch(r *rand.Rand) config.RouteMatch {
	m := config.RouteMatch{Kind: config.PathKind(r.IntN(4)), Path: randomPath(r), IgnoreCase: r.IntN(4) == 0}
	if m.Kind == config.PathRegex {
		m.Regex, _ = config.NewRegex([]string{"/a.*", "/[ab]+", ".*/b", "/c/?"}[r.IntN(4)])
	}
	if r.IntN(2) == 0 {
		there := r.IntN(2) == 0
		m.Headers = []config.HeaderMatch{{Name: "x-" + strings.ToLower(word(r)), Present: &there}}
	}
	return m
}

func TestMatchAgainstSlowMatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for range 200 {
		table := randomTable(r)
		index := NewIndex(table)
		for range 100 {
			host := []string{word(r) + "." + word(r), "x." + word(r) + "." + word(r), word(r) + "." + word(r) + ".x", "x-a.b"}[r.IntN(4)]
			x := request("GET "+host+" "+randomPath(r)+[]string{"", "?q=/a"}[r.IntN(2)], "x-"+strings.ToLower(word(r))+": 1")
			wantHost, want := slowly(table, x)
			v, got := index.Match(x, 0, nil)
			name := ""
			if v != nil {
				name = v.Name
			}
			if got != want || name != wantHost {
				t.Fatalf("%s %s: %s %+v, want %s %+v", x.Request.Authority, x.Request.Path, name, got, wantHost, want)
			}
			tr := &stream.Trace{}
			if _, traced := index.Match(x, 0, tr); traced != want || len(tr.Steps) == 0 {
				t.Fatalf("traced: %+v, want %+v", traced, want)
			}
			if got != nil {
				matched++
			}
		}
	}
	if matched < 2000 {
		t.Errorf("only %d requests matched anything", matched)
	}
}

func TestTraceSaysWhy(t *testing.T) {
	yes := true
	v := virtualHost("shop", "shop.com")
	v.Routes = []*config.Route{
		{Name: "exact", Match: config.RouteMatch{Kind: config.PathExact, Path: "/a"}},
		{Match: config.RouteMatch{Path: "/", Headers: []config.HeaderMatch{{Name: "x-user", Present: &yes}}}},
		{Name: "last", Match: config.RouteMatch{Path: "/"}},
	}
	tr := &stream.Trace{}
	NewIndex(&config.RouteTable{VirtualHosts: []*config.VirtualHost{v}}).Match(request("GET shop.com /b"), 0, tr)
	want := []stream.Step{
		{What: "virtual host", Reason: `shop: the exact domain matches "shop.com"`},
		{What: "route", Reason: "exact: the path isn't exactly /a"},
		{What: "route", Reason: "route 1: header x-user doesn't match"},
		{What: "route", Reason: "last: matches"},
	}
	if fmt.Sprint(tr.Steps) != fmt.Sprint(want) {
		t.Errorf("%v\nwant %v", tr.Steps, want)
	}
}

func bigTable(hosts, routes int) *config.RouteTable {
	table := &config.RouteTable{}
	for i := range hosts {
		name := fmt.Sprintf("svc-%d.ns-%d.svc.cluster.local", i, i%50)
		v := &config.VirtualHost{Name: name + ":80", Domains: []string{name, name + ":80", "*." + name}}
		for j := range routes {
			v.Routes = append(v.Routes, &config.Route{
				Match: config.RouteMatch{Path: fmt.Sprintf("/api/v%d/", j)}, Forward: &config.Forward{Cluster: name},
			})
		}
		v.Routes = append(v.Routes, &config.Route{Match: config.RouteMatch{Path: "/"}, Forward: &config.Forward{Cluster: name}})
		table.VirtualHosts = append(table.VirtualHosts, v)
	}
	return table
}

func TestMatchAllocatesNothing(t *testing.T) {
	index := NewIndex(bigTable(2000, 20))
	x := request("GET svc-77.ns-27.svc.cluster.local:80 /api/v7/x?y", "a: b")
	if n := testing.AllocsPerRun(100, func() { index.Match(x, 0, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, routes := range []int{0, 5, 100} {
		b.Run(fmt.Sprint(routes+1, " routes"), func(b *testing.B) {
			index := NewIndex(bigTable(2000, routes))
			x := request(fmt.Sprintf("GET svc-77.ns-27.svc.cluster.local:80 /api/v%d/x?y", routes/2))
			b.ReportAllocs()
			for b.Loop() {
				index.Match(x, 0, nil)
			}
		})
	}
}

func BenchmarkNewIndex(b *testing.B) {
	table := bigTable(2000, 5)
	b.ReportAllocs()
	for b.Loop() {
		NewIndex(table)
	}
}
