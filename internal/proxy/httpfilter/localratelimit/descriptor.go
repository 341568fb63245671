package localratelimit

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// descriptors are the places of the configured descriptors that rate limit actions make out of x: the filter's actions,
// else the route's and, as configured, the virtual host's.
func (f *limit) descriptors(x *stream.Exchange) (places []int) {
	if len(f.config.Descriptors) == 0 {
		return nil
	}
	if len(f.config.RateLimits) > 0 {
		return f.matching(nil, f.config.RateLimits, x)
	}
	if x.Route == nil || x.Route.Forward == nil {
		return nil
	}
	own := x.Route.Forward.RateLimits
	places = f.matching(nil, own, x)
	if x.VirtualHost != nil && f.hostToo(x.Route.Forward) {
		places = f.matching(places, x.VirtualHost.RateLimits, x)
	}
	return places
}

// hostToo reports whether the virtual host's limits count for a route.
func (f *limit) hostToo(r *config.Forward) bool {
	switch {
	case r.HostRateLimits, f.config.VirtualHost == config.HostLimitsToo:
		return true
	default:
		return f.config.VirtualHost == config.HostLimitsAlone && len(r.RateLimits) == 0
	}
}

// matching adds the places of those that are made by some limits.
func (f *limit) matching(places []int, limits []config.RateLimitActions, x *stream.Exchange) []int {
	for i := range limits {
		r := &limits[i]
		if r.Stage != f.config.Stage || r.Disable != "" {
			continue
		}
		entries, ok := f.entries(r.Actions, x)
		if !ok {
			continue
		}
		for place := range f.config.Descriptors {
			if slices.Equal(f.config.Descriptors[place].Entries, entries) && !slices.Contains(places, place) {
				places = append(places, place)
			}
		}
	}
	return places
}

// entries makes a descriptor; an action with nothing to say makes all of it void, unless it may be skipped.
func (f *limit) entries(actions []config.RateLimitAction, x *stream.Exchange) (list [][2]string, ok bool) {
	for i := range actions {
		a := &actions[i]
		entry, there := f.entry(a, x)
		switch {
		case there:
			list = append(list, entry)
		case !a.SkipAbsent:
			return nil, false
		}
	}
	return list, len(list) > 0
}

func (f *limit) entry(a *config.RateLimitAction, x *stream.Exchange) (e [2]string, there bool) {
	switch a.Kind {
	case config.RateSourceCluster:
		return [2]string{"source_cluster", f.deps.Self.Service}, true
	case config.RateDestinationCluster:
		return [2]string{"destination_cluster", x.ClusterName}, true
	case config.RateRequestHeader:
		value, there := x.Request.Joined(a.Header)
		return [2]string{a.Key, value}, there
	case config.RateRemoteAddress:
		return [2]string{"remote_address", x.Client().Addr().String()}, true
	case config.RateGenericKey:
		return [2]string{either(a.Key, "generic_key"), a.Value}, true
	default:
		return [2]string{either(a.Key, "header_match"), a.Value}, allMatch(a.Headers, x) == a.Expect
	}
}

func either(key, standard string) string {
	if key != "" {
		return key
	}
	return standard
}

func allMatch(headers []config.HeaderMatch, x *stream.Exchange) bool {
	for i := range headers {
		if !headers[i].Match(x.Request.Joined(headers[i].Name)) {
			return false
		}
	}
	return true
}
