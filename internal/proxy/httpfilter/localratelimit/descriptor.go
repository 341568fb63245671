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
	f.source.Each(x, func(r *config.RateLimitActions) {
		if r.Disable == "" && !r.Unbuilt {
			places = f.matching(places, r, x)
		}
	})
	return places
}

// matching adds the places of those that are the descriptor a limit makes.
func (f *limit) matching(places []int, r *config.RateLimitActions, x *stream.Exchange) []int {
	entries, ok := f.source.Make(r.Actions, x)
	if !ok {
		return places
	}
	for place := range f.config.Descriptors {
		if slices.Equal(f.config.Descriptors[place].Entries, entries) && !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	return places
}
