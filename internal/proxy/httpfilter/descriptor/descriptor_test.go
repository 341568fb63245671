package descriptor

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func request() *stream.Exchange {
	x := &stream.Exchange{
		ClusterName: "c", Conn: &stream.Conn{Remote: netip.MustParseAddrPort("10.1.2.3:1")},
		Metadata: map[string]map[string]any{"f": {"a": map[string]any{"b": "dynamic", "n": 1.0}}},
		Route:    &config.Route{Forward: &config.Forward{}, Metadata: map[string]map[string]any{"f": {"r": "route"}}},
		Cluster:  &config.Cluster{Metadata: map[string]map[string]any{"f": {"c": "cluster"}}},
	}
	x.Request.Path = "/p?q=1&q=2&e="
	x.Request.Fields.Add("x-a", "1")
	x.Request.Fields.Add("x-a", "2")
	return x
}

func metadataOf(source config.RateMetadataSource, missing string, path ...string) config.RateLimitAction {
	return config.RateLimitAction{Kind: config.RateMetadata, Key: "m", Value: missing, Source: source, Metadata: config.MetadataKey{Filter: "f", Path: path}}
}

func TestEntries(t *testing.T) {
	present := true
	query := func(name string, expect bool) config.RateLimitAction {
		return config.RateLimitAction{Kind: config.RateQueryValueMatch, Value: "v", Expect: expect, Query: []config.QueryMatch{{Name: name, Present: &present}}}
	}
	for i, c := range []struct {
		action config.RateLimitAction
		want   string
	}{
		{config.RateLimitAction{Kind: config.RateSourceCluster}, "[[source_cluster me]] true"},
		{config.RateLimitAction{Kind: config.RateDestinationCluster}, "[[destination_cluster c]] true"},
		{config.RateLimitAction{Kind: config.RateRemoteAddress}, "[[remote_address 10.1.2.3]] true"},
		{config.RateLimitAction{Kind: config.RateMaskedAddress, Bits4: 24}, "[[masked_remote_address 10.1.2.0/24]] true"},
		{config.RateLimitAction{Kind: config.RateMaskedAddress}, "[[masked_remote_address 0.0.0.0/0]] true"},
		{config.RateLimitAction{Kind: config.RateRequestHeader, Key: "h", Header: "x-a"}, "[[h 1,2]] true"},
		{config.RateLimitAction{Kind: config.RateRequestHeader, Key: "h", Header: "x-b"}, "[] false"},
		{config.RateLimitAction{Kind: config.RateQueryParameter, Key: "p", Header: "q"}, "[[p 1]] true"},
		{config.RateLimitAction{Kind: config.RateQueryParameter, Key: "p", Header: "e"}, "[[p ]] true"},
		{config.RateLimitAction{Kind: config.RateQueryParameter, Key: "p", Header: "x"}, "[] false"},
		{config.RateLimitAction{Kind: config.RateGenericKey, Value: "v"}, "[[generic_key v]] true"},
		{config.RateLimitAction{Kind: config.RateHeaderValueMatch, Value: "v", Expect: true, Headers: []config.HeaderMatch{{Name: "x-a"}}}, "[[header_match v]] true"},
		{query("q", true), "[[query_match v]] true"}, {query("x", true), "[] false"}, {query("x", false), "[[query_match v]] true"},
		{metadataOf(config.RateDynamicMetadata, "", "a", "b"), "[[m dynamic]] true"},
		{metadataOf(config.RateDynamicMetadata, "", "a", "n"), "[] false"},
		{metadataOf(config.RateDynamicMetadata, "d", "a", "x"), "[[m d]] true"},
		{metadataOf(config.RateRouteMetadata, "", "r"), "[[m route]] true"},
		{metadataOf(config.RateClusterMetadata, "", "c"), "[[m cluster]] true"},
		{config.RateLimitAction{Kind: 99}, "[] false"},
	} {
		s := Source{Service: "me"}
		list, ok := s.Make([]config.RateLimitAction{c.action}, request())
		if got := fmt.Sprint(list, ok); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
		c.action.SkipAbsent = true
		list, ok = s.Make([]config.RateLimitAction{c.action, {Kind: config.RateSourceCluster}}, request())
		if !ok || list[len(list)-1][1] != "me" {
			t.Errorf("%d: what may be skipped isn't: %v", i, list)
		}
	}
}

func TestMaskedIPv6(t *testing.T) {
	x := request()
	for client, want := range map[string]string{"2001:db8:1:2::3": "2001:db8:1::/48", "::ffff:10.1.2.3": "10.1.0.0/16", "fe80::1%eth0": "fe80::/48"} {
		x.Remote = netip.MustParseAddr(client)
		s := Source{}
		list, _ := s.Make([]config.RateLimitAction{{Kind: config.RateMaskedAddress, Bits4: 16, Bits6: 48}}, x)
		if len(list) != 1 || list[0][1] != want {
			t.Errorf("%s: %v", client, list)
		}
	}
}

// TestEach: whose limits count, and at which stage.
func TestEach(t *testing.T) {
	limits := func(stages ...uint32) (list []config.RateLimitActions) {
		for _, s := range stages {
			list = append(list, config.RateLimitActions{Stage: s})
		}
		return list
	}
	for i, c := range []struct {
		source Source
		want   string
	}{
		{Source{}, "[0 0]"}, {Source{Stage: 1}, "[1]"}, {Source{Stage: 7}, "[]"}, {Source{VirtualHost: config.HostLimitsToo}, "[0 0 0]"},
		{Source{VirtualHost: config.HostLimitsToo, Stage: 2}, "[2]"}, {Source{Own: limits(3, 0)}, "[0]"}, {Source{Own: limits(3, 0), AnyStage: true}, "[3 0]"},
	} {
		x := request()
		x.Route.Forward.RateLimits, x.VirtualHost = limits(0, 1, 0), &config.VirtualHost{RateLimits: limits(0, 2)}
		got := []uint32{}
		c.source.Each(x, func(r *config.RateLimitActions) { got = append(got, r.Stage) })
		if fmt.Sprint(got) != c.want {
			t.Errorf("%d: %v, want %s", i, got, c.want)
		}
	}
}
