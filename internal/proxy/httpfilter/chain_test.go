package httpfilter

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/peermetadata"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func exchange() *stream.Exchange {
	x := &stream.Exchange{Protocol: stream.HTTP11, Conn: &stream.Conn{
		Remote: netip.MustParseAddrPort("10.1.2.3:4000"), Local: netip.MustParseAddrPort("10.9.9.9:80"),
		TLS: &stream.TLS{Mutual: true, PeerURISANs: []string{"spiffe://cluster.local/ns/foo/sa/web"}},
	}}
	x.Request.Method, x.Request.Authority, x.Request.Path = "GET", "shop", "/"
	return x
}

func compile(t testing.TB, filters ...config.HTTPFilter) *Chain {
	t.Helper()
	c, err := Compile(&config.HTTPManager{Filters: filters}, Deps{Self: filter.Self{NodeID: "sidecar~1"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func deny() *config.RBAC {
	return &config.RBAC{Rules: &config.RBACRules{Action: config.RBACAllow}}
}

func allow() *config.RBAC {
	any := []*config.Rule{{Kind: config.RuleAny}}
	return &config.RBAC{Rules: &config.RBACRules{Action: config.RBACAllow, Policies: []config.RBACPolicy{
		{Name: "all", Permissions: any, Principals: any},
	}}}
}

func abort() *config.Fault { return &config.Fault{AbortHTTP: 555, AbortPerMillion: 1_000_000} }

func TestOrderIsTheConfigurations(t *testing.T) {
	for _, first := range []int{0, 1} {
		filters := []config.HTTPFilter{{Name: "fault", Config: abort()}, {Name: "rbac", Config: deny()}}
		if first == 1 {
			filters[0], filters[1] = filters[1], filters[0]
		}
		want := []int{555, 403}[first]
		if r := compile(t, filters...).Request(context.Background(), exchange(), nil); r == nil || r.Status != want {
			t.Errorf("order %d: %+v, want %d", first, r, want)
		}
	}
}

func TestAnswersPassTheLastFilterFirst(t *testing.T) {
	limit := func(most uint32) config.HTTPFilter {
		return config.HTTPFilter{Config: &config.LocalRateLimit{Bucket: config.TokenBucket{Max: most}, RateHeaders: true}}
	}
	x := exchange()
	compile(t, limit(1), limit(2)).Response(x)
	if got := x.Response.Fields.Value("x-ratelimit-limit"); got != "1" {
		t.Errorf("the last word was filter %s's", got)
	}
}

func TestOverrides(t *testing.T) {
	off, other := config.Override{Disabled: true}, config.Override{Config: allow()}
	denied, fresh := config.Override{Config: deny()}, config.Override{}
	set := func(o config.Override) config.Overrides { return config.Overrides{"rbac": o} }
	for i, c := range []struct {
		disabled bool
		change   func(x *stream.Exchange)
		passes   bool
	}{
		{false, func(*stream.Exchange) {}, false},
		{true, func(*stream.Exchange) {}, true},
		{false, func(x *stream.Exchange) { x.Route = &config.Route{Overrides: set(off)} }, true},
		{false, func(x *stream.Exchange) { x.VirtualHost = &config.VirtualHost{Overrides: set(other)} }, true},
		{false, func(x *stream.Exchange) { x.Table = &config.RouteTable{Overrides: set(off)} }, true},
		{true, func(x *stream.Exchange) { x.Route = &config.Route{Overrides: set(denied)} }, false},
		{true, func(x *stream.Exchange) { x.Route = &config.Route{Overrides: set(fresh)} }, false},
		{false, func(x *stream.Exchange) {
			x.VirtualHost = &config.VirtualHost{Overrides: set(denied)}
			x.Route = &config.Route{Overrides: set(other)}
		}, true},
		{false, func(x *stream.Exchange) {
			x.Route = &config.Route{Overrides: set(other)}
			x.Weighted = &config.WeightedCluster{Overrides: set(denied)}
		}, false},
		{false, func(x *stream.Exchange) {
			x.Route = &config.Route{Overrides: set(config.Override{Config: 7})}
		}, false},
	} {
		chain := compile(t, config.HTTPFilter{Name: "rbac", Config: deny(), Disabled: c.disabled})
		x := exchange()
		c.change(x)
		for range 2 {
			if r := chain.Request(context.Background(), x, nil); (r == nil) != c.passes {
				t.Errorf("%d: %+v", i, r)
			}
		}
	}
}

func TestOverridesAreBoundedAndKeepState(t *testing.T) {
	limit := &config.LocalRateLimit{
		Bucket: config.TokenBucket{Max: 1, Interval: 1 << 60}, Enabled: &config.Fraction{PerMillion: 1e6}, Enforced: &config.Fraction{PerMillion: 1e6},
	}
	chain := compile(t, config.HTTPFilter{Name: "f", Config: &config.LocalRateLimit{}})
	ask := func(c any) *Reply {
		x := exchange()
		x.Route = &config.Route{Overrides: config.Overrides{"f": {Config: c}}}
		return chain.Request(context.Background(), x, nil)
	}
	if ask(limit) != nil {
		t.Fatal("the first request was refused")
	}
	for i := range 3 * mostOverrides {
		ask(&config.LocalRateLimit{})
		if i%1000 == 0 && ask(limit) == nil {
			t.Fatal("the bucket began anew")
		}
	}
	if o := &chain.places[0].overrides; len(o.now) > mostOverrides || len(o.old) > mostOverrides {
		t.Errorf("%d and %d are kept", len(o.now), len(o.old))
	}
}

func TestLateFilters(t *testing.T) {
	cell := config.NewCell[config.HTTPFilter](nil)
	chain := compile(t, config.HTTPFilter{Name: "late", Late: cell})
	ask := func() int {
		if r := chain.Request(context.Background(), exchange(), nil); r != nil {
			return r.Status
		}
		return 0
	}
	if got := ask(); got != 500 {
		t.Errorf("before it came: %d", got)
	}
	cell.Store(&config.HTTPFilter{Config: deny()})
	if got := ask(); got != 403 {
		t.Errorf("when it came: %d", got)
	}
	cell.Store(&config.HTTPFilter{Config: "nonsense"})
	if got := ask(); got != 403 {
		t.Errorf("the last good one: %d", got)
	}
	cell.Store(&config.HTTPFilter{Config: allow()})
	if got := ask(); got != 0 {
		t.Errorf("when it changed: %d", got)
	}
}

func TestUnknownFilter(t *testing.T) {
	_, err := Compile(&config.HTTPManager{Filters: []config.HTTPFilter{{Name: "x", Config: 1}}}, Deps{})
	if err == nil || err.Error() != "http_filters[0] (x): a configuration of type int makes no filter" {
		t.Error(err)
	}
}

func TestTraceChangesNothing(t *testing.T) {
	chain := compile(t,
		config.HTTPFilter{Name: "fault", Config: abort()}, config.HTTPFilter{Name: "off", Config: deny(), Disabled: true},
		config.HTTPFilter{Name: "rbac", Config: allow()})
	tr := &stream.Trace{}
	if r := chain.Request(context.Background(), exchange(), tr); r != nil {
		t.Errorf("%+v", r)
	}
	want := []stream.Step{
		{What: "filter", Reason: "fault: answers 1000000 of a million requests with 555"},
		{What: "filter", Reason: "off: disabled here"}, {What: "filter", Reason: `rbac: allowed, matched policy "all"`},
	}
	if fmt.Sprint(tr.Steps) != fmt.Sprint(want) {
		t.Errorf("%v", tr.Steps)
	}
}

// usual is the chain most requests of a mesh pass.
func usual(t testing.TB) *Chain {
	rules := &config.RBACRules{Action: config.RBACAllow, Policies: []config.RBACPolicy{{
		Name: "ns[foo]-policy[bar]-rule[0]", Permissions: []*config.Rule{{Kind: config.RuleAnd, Rules: []*config.Rule{
			{Kind: config.RuleDestinationPort, Ports: config.PortRange{Start: 80, End: 81}},
			{Kind: config.RuleHeader, Header: &config.HeaderMatch{Name: ":method", Value: &config.StringMatch{Value: "GET"}}},
		}}},
		Principals: []*config.Rule{{Kind: config.RuleAuthenticated, String: &config.StringMatch{Value: "spiffe://cluster.local/ns/foo/sa/web"}}},
	}}}
	return compile(t,
		config.HTTPFilter{Name: "mx", Config: &config.PeerMetadata{DownstreamDiscovery: config.PeerHeaders, UpstreamDiscovery: config.PeerHeaders | config.PeerWorkload}},
		config.HTTPFilter{Name: "rbac", Config: &config.RBAC{Rules: rules}},
		config.HTTPFilter{Name: "alpn", Config: &config.ALPN{HTTP11: []string{"istio-http/1.1"}}},
		config.HTTPFilter{Name: "cors", Config: &config.CORS{}},
		config.HTTPFilter{Name: "fault", Config: &config.Fault{}},
		config.HTTPFilter{Name: "stats", Config: &config.IstioStats{}})
}

func TestUsualRequestAllocatesNothing(t *testing.T) {
	chain, x, ctx := usual(t), exchange(), context.Background()
	x.Upstream.Endpoint = &config.Endpoint{Workload: "web;foo;web;v1;c1"}
	self := filter.Self{Peer: stream.Peer{Workload: "w", Namespace: "n"}}
	header := base64.StdEncoding.EncodeToString(peermetadata.EncodeStruct(peermetadata.Metadata(&self)))
	pass := func() {
		x.Request.Fields.Clear()
		x.Request.Fields.Add(peermetadata.Header, header)
		if r := chain.Request(ctx, x, nil); r != nil {
			t.Fatalf("%+v", r)
		}
		chain.Response(x)
	}
	if n := testing.AllocsPerRun(100, pass); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if x.Peer == nil || x.Peer.Workload != "w" || x.UpPeer == nil || x.UpPeer.CanonicalRevision != "v1" || len(x.UpstreamALPN) != 1 {
		t.Errorf("%+v %+v %v", x.Peer, x.UpPeer, x.UpstreamALPN)
	}
}

func BenchmarkUsualRequest(b *testing.B) {
	chain, x, ctx := usual(b), exchange(), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		chain.Request(ctx, x, nil)
		chain.Response(x)
	}
}
