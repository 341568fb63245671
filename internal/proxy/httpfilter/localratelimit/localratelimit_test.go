package localratelimit

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func request(fields ...string) *stream.Exchange {
	x := &stream.Exchange{ClusterName: "c", Conn: &stream.Conn{Remote: netip.MustParseAddrPort("10.0.0.1:1")}}
	for i := 0; i+1 < len(fields); i += 2 {
		x.Request.Fields.Add(fields[i], fields[i+1])
	}
	return x
}

var always = &config.Fraction{PerMillion: 1_000_000}

type clock struct{ time.Time }

func newLimit(t *testing.T, c config.LocalRateLimit, at *clock) filter.Filter {
	t.Helper()
	if c.Enabled == nil {
		c.Enabled, c.Enforced = always, always
	}
	f, err := New(&c, filter.Deps{Now: func() time.Time { return at.Time }, Self: filter.Self{Service: "me"}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func passes(f filter.Filter, x *stream.Exchange) bool {
	return f.Request(context.Background(), x, nil) == nil
}

// taken is how many requests pass before one is refused.
func taken(f filter.Filter) (n int) {
	for passes(f, request()) {
		n++
	}
	return n
}

func TestLimit(t *testing.T) {
	at := &clock{time.Unix(1000, 0)}
	f := newLimit(t, config.LocalRateLimit{
		Bucket: config.TokenBucket{Max: 2, PerFill: 1, Interval: time.Second}, RateHeaders: true,
		ResponseHeaders: []config.HeaderAdd{{Name: "x-limited", Value: &config.Format{Source: "yes"}}},
	}, at)
	if n := taken(f); n != 2 {
		t.Fatalf("of a full bucket %d were taken", n)
	}
	x := request()
	reply := f.Request(context.Background(), x, nil)
	if reply == nil || reply.Status != 429 || reply.Body != "local_rate_limited" || reply.Details != "local_rate_limited" ||
		reply.Flags != stream.RateLimited || reply.GRPCStatus != 0 || len(reply.Fields) != 1 || reply.Fields[0].Value != "yes" {
		t.Errorf("%+v", reply)
	}
	at.Time = at.Add(300 * time.Millisecond)
	f.(filter.Responder).Response(x)
	for name, want := range map[string]string{"x-ratelimit-limit": "2", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"} {
		if got := x.Response.Fields.Value(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	at.Time = at.Add(700 * time.Millisecond)
	if n := taken(f); n != 1 {
		t.Errorf("after a second %d were taken", n)
	}
	at.Time = at.Add(time.Hour)
	if n := taken(f); n != 2 {
		t.Errorf("after an hour %d were taken", n)
	}
	tr := &stream.Trace{}
	f.Request(context.Background(), request(), tr)
	if len(tr.Steps) != 1 || tr.Steps[0].Reason != "local_ratelimit: 0 of 2 tokens are left" {
		t.Errorf("%v", tr.Steps)
	}
}

func TestEnabledAndEnforced(t *testing.T) {
	at := &clock{time.Unix(1000, 0)}
	for i, c := range []struct {
		enabled, enforced *config.Fraction
		refused, told     bool
	}{
		{&config.Fraction{}, always, false, false}, {always, nil, false, true}, {always, always, true, false},
	} {
		f := newLimit(t, config.LocalRateLimit{
			Bucket: config.TokenBucket{Max: 1, Interval: time.Hour}, Enabled: c.enabled, Enforced: c.enforced, Status: 503, AsResource: true,
			RequestHeaders: []config.HeaderAdd{{Name: "x-over", Value: &config.Format{Source: "yes"}}},
		}, at)
		passes(f, request())
		x := request()
		reply := f.Request(context.Background(), x, nil)
		if (reply != nil) != c.refused || (x.Request.Fields.Value("x-over") == "yes") != c.told {
			t.Errorf("%d: %+v, told %q", i, reply, x.Request.Fields.Value("x-over"))
		}
		if reply != nil && (reply.Status != 503 || reply.GRPCStatus != 8) {
			t.Errorf("%d: %+v", i, reply)
		}
	}
}

func TestPerConnection(t *testing.T) {
	f := newLimit(t, config.LocalRateLimit{Bucket: config.TokenBucket{Max: 1, Interval: time.Hour}, PerConnection: true}, &clock{})
	one, other := request(), request()
	if !passes(f, one) || passes(f, one) || !passes(f, other) {
		t.Error("connections share a bucket, or have none")
	}
}

func TestDescriptors(t *testing.T) {
	one := config.TokenBucket{Max: 1, Interval: time.Hour}
	action := func(actions ...config.RateLimitAction) []config.RateLimitActions {
		return []config.RateLimitActions{{Actions: actions}}
	}
	header := config.RateLimitAction{Kind: config.RateRequestHeader, Key: "user", Header: "x-user"}
	for i, c := range []struct {
		actions []config.RateLimitActions
		entries [][2]string
		x       []string
		limited bool
	}{
		{action(header), [][2]string{{"user", "u"}}, []string{"x-user", "u"}, true},
		{action(header), [][2]string{{"user", "u"}}, []string{"x-user", "v"}, false},
		{action(header), [][2]string{{"user", "u"}}, nil, false},
		{action(header, config.RateLimitAction{Kind: config.RateGenericKey, Value: "k"}), [][2]string{{"user", "u"}, {"generic_key", "k"}}, []string{"x-user", "u"}, true},
		{action(header, config.RateLimitAction{Kind: config.RateGenericKey, Value: "k"}), [][2]string{{"user", "u"}}, []string{"x-user", "u"}, false},
		{action(config.RateLimitAction{Kind: config.RateRequestHeader, Header: "x-user", SkipAbsent: true}, config.RateLimitAction{Kind: config.RateGenericKey, Key: "a", Value: "k"}), [][2]string{{"a", "k"}}, nil, true},
		{action(config.RateLimitAction{Kind: config.RateSourceCluster}, config.RateLimitAction{Kind: config.RateDestinationCluster}, config.RateLimitAction{Kind: config.RateRemoteAddress}),
			[][2]string{{"source_cluster", "me"}, {"destination_cluster", "c"}, {"remote_address", "10.0.0.1"}}, nil, true},
		{action(config.RateLimitAction{Kind: config.RateHeaderValueMatch, Value: "v", Expect: true, Headers: []config.HeaderMatch{{Name: "a"}}}), [][2]string{{"header_match", "v"}}, []string{"a", "1"}, true},
		{action(config.RateLimitAction{Kind: config.RateHeaderValueMatch, Value: "v", Expect: false, Headers: []config.HeaderMatch{{Name: "a"}}}), [][2]string{{"header_match", "v"}}, []string{"a", "1"}, false},
		{[]config.RateLimitActions{{Stage: 1, Actions: []config.RateLimitAction{header}}}, [][2]string{{"user", "u"}}, []string{"x-user", "u"}, false},
	} {
		f := newLimit(t, config.LocalRateLimit{
			Bucket: config.TokenBucket{Max: 100, Interval: time.Hour}, RateLimits: c.actions,
			Descriptors: []config.RateDescriptor{{Entries: c.entries, Bucket: one}},
		}, &clock{})
		if !passes(f, request(c.x...)) || passes(f, request(c.x...)) == c.limited {
			t.Errorf("%d: limited isn't %v", i, c.limited)
		}
	}
}

// TestRouteDescriptors: without actions of its own the filter takes the route's, and the virtual host's as configured.
func TestRouteDescriptors(t *testing.T) {
	key := func(value string) []config.RateLimitActions {
		return []config.RateLimitActions{{Actions: []config.RateLimitAction{{Kind: config.RateGenericKey, Value: value}}}}
	}
	for i, c := range []struct {
		filter, route, host []config.RateLimitActions
		option              config.VirtualHostLimits
		include             bool
		taken               int // of 1 for a, 2 for b, 3 for all
	}{
		{nil, nil, nil, 0, false, 3},
		{nil, key("a"), nil, 0, false, 1},
		{nil, key("a"), key("b"), 0, false, 1},
		{nil, nil, key("b"), 0, false, 2},
		{nil, nil, key("b"), config.HostLimitsNever, false, 3},
		{nil, key("b"), key("a"), 0, false, 2},
		{nil, key("b"), key("a"), config.HostLimitsToo, false, 1},
		{nil, key("b"), key("a"), config.HostLimitsNever, true, 1},
		{key("b"), key("a"), key("a"), config.HostLimitsToo, true, 2},
	} {
		x := request()
		x.VirtualHost = &config.VirtualHost{RateLimits: c.host}
		x.Route = &config.Route{Forward: &config.Forward{RateLimits: c.route, HostRateLimits: c.include}}
		for only, want := range map[bool]int{false: c.taken, true: c.taken} {
			f := newLimit(t, config.LocalRateLimit{
				Bucket: config.TokenBucket{Max: 3, Interval: time.Hour}, RateLimits: c.filter, VirtualHost: c.option, OnlyDescriptors: only,
				Descriptors: []config.RateDescriptor{
					{Entries: [][2]string{{"generic_key", "a"}}, Bucket: config.TokenBucket{Max: 1, Interval: time.Hour}},
					{Entries: [][2]string{{"generic_key", "b"}}, Bucket: config.TokenBucket{Max: 2, Interval: time.Hour}},
				},
			}, &clock{})
			n := 0
			for passes(f, x) {
				n++
			}
			if n != want {
				t.Errorf("%d: %d were taken, want %d", i, n, want)
			}
			rest := 3 // of the common bucket, for a request without descriptors
			if !only || want == 3 {
				rest -= n
			}
			if c.filter != nil {
				continue // its actions make descriptors of that one too
			}
			if got := taken(f); got != rest {
				t.Errorf("%d: %d more were taken, want %d", i, got, rest)
			}
		}
	}
}

// TestBucketAgainstSlowBucket fills one interval at a time.
func TestBucketAgainstSlowBucket(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		limit := config.TokenBucket{Max: r.Uint32N(20), PerFill: r.Uint32N(10), Interval: time.Duration(r.IntN(50))}
		now := time.Unix(1000, 0)
		b := NewBucket(limit, now)
		left, fill, per := limit.Max, now, max(limit.PerFill, 1)
		for range 100 {
			now = now.Add(time.Duration(r.IntN(120)))
			for limit.Interval > 0 && now.Sub(fill) >= limit.Interval {
				fill, left = fill.Add(limit.Interval), min(limit.Max, left+per)
			}
			want := left > 0
			if want {
				left--
			}
			if got := b.Take(now); got != want {
				t.Fatalf("%+v: %v, want %v", limit, got, want)
			}
		}
	}
}
