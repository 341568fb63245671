// Package descriptor makes rate limit descriptors out of requests, for local and global limits. The rate_limits of a
// filter, a route and a virtual host come in; lists of keys and values go out. Each says which limits count, entry.go
// what one action adds.
package descriptor

import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Entries are a descriptor's keys and values, in the order of the actions that made them.
type Entries = [][2]string

// Source is where a filter's rate limits stand.
type Source struct {
	Own         []config.RateLimitActions // the filter's, instead of all others
	Stage       uint32
	AnyStage    bool // Own are for this filter, whatever they say
	VirtualHost config.VirtualHostLimits
	Service     string // this proxy's service cluster
}

// Each calls f with each of the limits that are for x.
func (s *Source) Each(x *stream.Exchange, f func(*config.RateLimitActions)) {
	if len(s.Own) > 0 {
		s.staged(s.Own, s.AnyStage, f)
		return
	}
	if x.Route == nil || x.Route.Forward == nil {
		return
	}
	s.staged(x.Route.Forward.RateLimits, false, f)
	if x.VirtualHost != nil && s.hostToo(x.Route.Forward) {
		s.staged(x.VirtualHost.RateLimits, false, f)
	}
}

func (s *Source) staged(limits []config.RateLimitActions, all bool, f func(*config.RateLimitActions)) {
	for i := range limits {
		if all || limits[i].Stage == s.Stage {
			f(&limits[i])
		}
	}
}

// hostToo reports whether the virtual host's limits count for a route.
func (s *Source) hostToo(r *config.Forward) bool {
	switch {
	case r.HostRateLimits, s.VirtualHost == config.HostLimitsToo:
		return true
	default:
		return s.VirtualHost == config.HostLimitsAlone && len(r.RateLimits) == 0
	}
}

// Make makes the descriptor of some actions. One with nothing to say makes all of it void, unless it may be skipped.
func (s *Source) Make(actions []config.RateLimitAction, x *stream.Exchange) (list Entries, ok bool) {
	for i := range actions {
		a := &actions[i]
		e, there := s.entry(a, x)
		switch {
		case there:
			list = append(list, e)
		case !a.SkipAbsent:
			return nil, false
		}
	}
	return list, len(list) > 0
}
