package forwardproxy

import (
	"context"
	"errors"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

func TestAnswers(t *testing.T) {
	dynamic := &config.Cluster{Kind: config.DynamicForward, Cache: &config.DNSCache{Name: "n"}}
	for name, c := range map[string]struct {
		cluster   *config.Cluster
		authority string
		err       error
		asked     bool
		want      filter.Reply // Status 0: none
	}{
		"found":          {dynamic, "a.test", nil, true, filter.Reply{}},
		"other cluster":  {&config.Cluster{}, "a.test", errors.New("x"), false, filter.Reply{}},
		"no cluster":     {nil, "a.test", errors.New("x"), false, filter.Reply{}},
		"other cache":    {&config.Cluster{Kind: config.DynamicForward, Cache: &config.DNSCache{Name: "m"}}, "a.test", errors.New("x"), false, filter.Reply{}},
		"no host":        {dynamic, "", nil, false, filter.Reply{Status: 400, Body: "Empty host header", Details: "empty_host_header"}},
		"many hosts":     {dynamic, "a", upstream.ErrManyHosts, true, filter.Reply{Status: 503, Body: "DNS cache overflow", Details: "dns_cache_overflow"}},
		"many waiting":   {dynamic, "a", upstream.ErrManyWaiting, true, filter.Reply{Status: 503, Body: "Dynamic forward proxy pending request overflow", Details: "dynamic_forward_proxy_pending_request_overflow"}},
		"no address":     {dynamic, "a", &upstream.ResolveError{Host: "a"}, true, filter.Reply{Status: 503, Body: "DNS resolution failure", Details: "dns_resolution_failure{no_host}", Flags: stream.DNSResolutionFailed}},
		"resolver fails": {dynamic, "a", &upstream.ResolveError{Host: "a", Err: errors.New("at 10.0.0.1")}, true, filter.Reply{Status: 503, Body: "DNS resolution failure", Details: "dns_resolution_failure{resolution_failed}", Flags: stream.DNSResolutionFailed}},
		"too late":       {dynamic, "a", &upstream.ResolveError{Host: "a", Err: context.DeadlineExceeded}, true, filter.Reply{Status: 503, Body: "DNS resolution failure", Details: "dns_resolution_failure{resolve_timeout}", Flags: stream.DNSResolutionFailed}},
		"client gone":    {dynamic, "a", context.Canceled, true, filter.Reply{Status: 503, Body: "DNS resolution failure", Details: "dns_resolution_failure{cancelled}", Flags: stream.DNSResolutionFailed}},
	} {
		asked := false
		f, err := New(&config.ForwardProxy{Cache: "n"}, filter.Deps{Resolve: func(_ context.Context, cluster, authority string) error {
			asked = cluster == "any" && authority == c.authority
			return c.err
		}})
		if err != nil {
			t.Fatal(err)
		}
		x := &stream.Exchange{Cluster: c.cluster, ClusterName: "any"}
		x.Request.Authority = c.authority
		got := f.Request(context.Background(), x, nil)
		if got == nil {
			got = &filter.Reply{}
		}
		if asked != c.asked || got.Status != c.want.Status || got.Body != c.want.Body || got.Details != c.want.Details || got.Flags != c.want.Flags {
			t.Errorf("%s: asked %t, %+v", name, asked, got)
		}
	}
}

// TestRewrite: a route's other host is looked up, and is what the upstream sees.
func TestRewrite(t *testing.T) {
	for i, c := range []struct {
		route config.ForwardProxyRoute
		want  string
	}{
		{config.ForwardProxyRoute{}, "a.test"}, {config.ForwardProxyRoute{Literal: "b.test"}, "b.test"}, {config.ForwardProxyRoute{Header: "x-host"}, "c.test"},
		{config.ForwardProxyRoute{Header: "x-none"}, "a.test"},
	} {
		asked := ""
		f, _ := New(&config.ForwardProxy{}, filter.Deps{Resolve: func(_ context.Context, _, authority string) error {
			asked = authority
			return nil
		}})
		o, err := f.(filter.Overrider).Override(&c.route)
		if err != nil {
			t.Fatal(err)
		}
		x := &stream.Exchange{Cluster: &config.Cluster{Kind: config.DynamicForward, Cache: &config.DNSCache{}}}
		x.Request.Authority = "a.test"
		x.Request.Fields.Add("x-host", "c.test")
		var tr stream.Trace
		if o.Request(context.Background(), x, &tr); asked != "" || len(tr.Steps) != 1 {
			t.Errorf("%d: who only asks has it looked up: %q", i, asked)
		}
		if o.Request(context.Background(), x, nil); asked != c.want || x.Request.Authority != c.want {
			t.Errorf("%d: %q", i, asked)
		}
	}
	f, _ := New(&config.ForwardProxy{}, filter.Deps{})
	if _, err := f.(filter.Overrider).Override(7); err == nil {
		t.Error("a number is a configuration")
	}
}
