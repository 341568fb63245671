package descriptor

import (
	"cmp"
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// entry is what one action adds.
func (s *Source) entry(a *config.RateLimitAction, x *stream.Exchange) (e [2]string, there bool) {
	switch a.Kind {
	case config.RateSourceCluster:
		return [2]string{"source_cluster", s.Service}, true
	case config.RateDestinationCluster:
		return [2]string{"destination_cluster", x.ClusterName}, true
	case config.RateRequestHeader:
		value, there := x.Request.Joined(a.Header)
		return [2]string{a.Key, value}, there
	case config.RateQueryParameter:
		value, there := route.Parameter(x.Request.Path, a.Header)
		return [2]string{a.Key, value}, there
	case config.RateRemoteAddress:
		return [2]string{"remote_address", x.Client().Addr().String()}, true
	case config.RateMaskedAddress:
		value, there := masked(x.Client().Addr(), a)
		return [2]string{"masked_remote_address", value}, there
	case config.RateGenericKey:
		return [2]string{cmp.Or(a.Key, "generic_key"), a.Value}, true
	case config.RateHeaderValueMatch:
		return [2]string{cmp.Or(a.Key, "header_match"), a.Value}, headersMatch(a.Headers, x) == a.Expect
	case config.RateQueryValueMatch:
		return [2]string{cmp.Or(a.Key, "query_match"), a.Value}, queryMatches(a.Query, x) == a.Expect
	case config.RateMetadata:
		value := metadata(a, x)
		return [2]string{a.Key, value}, value != ""
	}
	return e, false
}

// masked is the range an address is in.
func masked(client netip.Addr, a *config.RateLimitAction) (string, bool) {
	client = client.Unmap()
	bits := a.Bits6
	if client.Is4() {
		bits = a.Bits4
	}
	p, err := client.WithZone("").Prefix(int(bits))
	return p.String(), err == nil
}

func headersMatch(headers []config.HeaderMatch, x *stream.Exchange) bool {
	for i := range headers {
		if !headers[i].Match(x.Request.Joined(headers[i].Name)) {
			return false
		}
	}
	return true
}

func queryMatches(query []config.QueryMatch, x *stream.Exchange) bool {
	for i := range query {
		if !query[i].Match(route.Parameter(x.Request.Path, query[i].Name)) {
			return false
		}
	}
	return true
}

// metadata is the text an action finds, else its default.
func metadata(a *config.RateLimitAction, x *stream.Exchange) string {
	var all map[string]map[string]any
	switch {
	case a.Source == config.RateDynamicMetadata:
		all = x.Metadata
	case a.Source == config.RateRouteMetadata && x.Route != nil:
		all = x.Route.Metadata
	case a.Source == config.RateClusterMetadata && x.Cluster != nil:
		all = x.Cluster.Metadata
	}
	value, _ := a.Metadata.Find(all)
	text, _ := value.(string)
	return cmp.Or(text, a.Value)
}
