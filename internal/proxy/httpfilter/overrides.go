package httpfilter

import (
	"context"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// mostOverrides is how many filters made of overrides a place keeps, twice: those used lately and those before.
const mostOverrides = 4096

// overrides are filters made of overrides, by the configuration they were made of. Route tables come and go, and
// nobody says which of their overrides are still in use: when there are many, those not used since the last time are
// dropped. The filters keep state (token buckets), so one that is in use is kept.
type overrides struct {
	mu       sync.RWMutex
	now, old map[any]made
}

type made struct{ base, filter filter.Filter }

func (o *overrides) get(config any, base filter.Filter, deps Deps) filter.Filter {
	o.mu.RLock()
	m, ok := o.now[config]
	o.mu.RUnlock()
	if ok && m.base == base {
		return m.filter
	}
	return o.make(config, base, deps)
}

func (o *overrides) make(config any, base filter.Filter, deps Deps) filter.Filter {
	o.mu.Lock()
	defer o.mu.Unlock()
	m, ok := o.now[config]
	if !ok {
		m, ok = o.old[config]
	}
	if !ok || m.base != base {
		m = made{base, override(config, base, deps)}
	}
	if o.now == nil || len(o.now) >= mostOverrides {
		o.old, o.now = o.now, map[any]made{}
	}
	o.now[config] = m
	return m.filter
}

// override makes the filter. One that can't be made refuses requests: it may have been a policy.
func override(config any, base filter.Filter, deps Deps) filter.Filter {
	var f filter.Filter
	var err error
	if b, ok := base.(filter.Overrider); ok {
		f, err = b.Override(config)
	} else {
		f, err = newFilter(config, deps)
	}
	if err != nil {
		return broken{err}
	}
	return f
}

// broken stands for an override nobody could make a filter of.
type broken struct{ err error }

func (b broken) Request(_ context.Context, _ *stream.Exchange, tr *stream.Trace) *Reply {
	if tr.On() {
		tr.Note("filter", "the override for this route can't be used: %v", b.err)
	}
	return &Reply{Status: 500, Flags: stream.NoFilterConfigFound, Details: "filter_config_not_usable"}
}
