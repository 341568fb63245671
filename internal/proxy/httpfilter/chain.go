// Package httpfilter runs the HTTP filters of a connection manager in the order its configuration has them. A
// *config.HTTPManager comes in; Compile makes a Chain of it, whose Request lets a request pass or answers it. Each
// filter is a folder below this one; filter holds what they share. Read this file, then filters.go for which
// configuration makes which filter.
package httpfilter

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Deps is the outside world of filters.
type Deps = filter.Deps

// Reply is the answer a filter gave.
type Reply = filter.Reply

// Chain are the filters of one HTTPManager, used by all its requests.
type Chain struct {
	places []place
	deps   Deps
	ends   bool // one of them may want to know of the end
}

// place is one filter of the configuration.
type place struct {
	config    *config.HTTPFilter
	filter    filter.Filter // nil: it comes late
	always    bool          // neither late nor disabled: filter it is, unless overridden
	late      atomic.Pointer[arrival]
	overrides overrides
}

// arrival is a filter that came by ECDS, and what it was made of.
type arrival struct {
	config *config.HTTPFilter
	filter filter.Filter
}

// Compile makes the filters of m. A filter that isn't known is an error; decoders refuse it before.
func Compile(m *config.HTTPManager, deps Deps) (*Chain, error) {
	c := &Chain{places: make([]place, len(m.Filters)), deps: deps.WithDefaults()}
	for i := range m.Filters {
		p := &c.places[i]
		p.config = &m.Filters[i]
		if p.config.Late != nil {
			c.ends = true
			continue
		}
		made, err := newFilter(p.config.Config, c.deps)
		if err != nil {
			return nil, fmt.Errorf("http_filters[%d] (%s): %w", i, p.config.Name, err)
		}
		p.filter, p.always = made, !p.config.Disabled
		_, ender := made.(filter.Ender)
		c.ends = c.ends || ender
	}
	return c, nil
}

// Request runs the filters over x's request, whose route was chosen before. nil: it goes on to the upstream. With a
// trace nothing happens outside, each filter notes what it would do.
func (c *Chain) Request(ctx context.Context, x *stream.Exchange, tr *stream.Trace) *Reply {
	plain := !overridden(x)
	for i := range c.places {
		f, missing := c.places[i].filter, false
		if !plain || !c.places[i].always {
			f, missing = c.pick(&c.places[i], x)
		}
		if missing {
			return &Reply{Status: 500, Flags: stream.NoFilterConfigFound, Details: "filter_config_not_found"}
		}
		if f == nil {
			if tr.On() {
				tr.Note("filter", "%s: disabled here", c.places[i].config.Name)
			}
			continue
		}
		if reply := f.Request(ctx, x, tr); reply != nil {
			return reply
		}
		if x.Stale {
			rematch(ctx, x)
			plain = !overridden(x)
		}
	}
	return nil
}

// rematch has the route chosen anew. Who only asks what would happen is told by the one there is.
func rematch(ctx context.Context, x *stream.Exchange) {
	x.Stale = false
	if m, ok := ctx.(filter.Rematcher); ok {
		m.Rematch()
	}
}

// Response runs the filters that look at answers over x's, the last filter first. Local answers pass them all too.
func (c *Chain) Response(x *stream.Exchange) {
	plain := !overridden(x)
	for n := range c.places {
		p := &c.places[len(c.places)-1-n] // slices.Backward would copy places that others change
		f := p.filter
		if !plain || !p.always {
			f, _ = c.pick(p, x)
		}
		if r, ok := f.(filter.Responder); ok {
			r.Response(x)
		}
	}
}

// End tells the filters that want to know it that an exchange has ended.
func (c *Chain) End(x *stream.Exchange) {
	if !c.ends {
		return
	}
	plain := !overridden(x)
	for n := range c.places {
		p := &c.places[n]
		f := p.filter
		if !plain || !p.always {
			f, _ = c.pick(p, x)
		}
		if e, ok := f.(filter.Ender); ok {
			e.End(x)
		}
	}
}

// overridden reports whether anything at all is overridden for x. Usually nothing is.
func overridden(x *stream.Exchange) bool {
	return x.Weighted != nil && len(x.Weighted.Overrides) > 0 || x.Route != nil && len(x.Route.Overrides) > 0 ||
		x.VirtualHost != nil && len(x.VirtualHost.Overrides) > 0 || x.Table != nil && len(x.Table.Overrides) > 0
}

// pick returns the filter that stands at a place for x: its own, an override's, or nil where it is disabled.
func (c *Chain) pick(p *place, x *stream.Exchange) (f filter.Filter, missing bool) {
	base, off := p.filter, p.config.Disabled
	if p.config.Late != nil {
		late := c.arrived(p)
		if late == nil {
			return nil, true
		}
		base, off = late.filter, off || late.config.Disabled
	}
	o, found := overrideOf(x, p.config.Name)
	switch {
	case !found && off, o.Disabled:
		return nil, false
	case o.Config == nil:
		return base, false
	default:
		return p.overrides.get(o.Config, base, c.deps), false
	}
}

// arrived returns the filter made of what the cell holds now. Of two that come at once one is made in vain.
func (c *Chain) arrived(p *place) *arrival {
	now, have := p.config.Late.Load(), p.late.Load()
	if now == nil || have != nil && have.config == now {
		return have
	}
	made, err := newFilter(now.Config, c.deps)
	if err != nil {
		return have
	}
	next := &arrival{now, made}
	p.late.Store(next)
	return next
}

// overrideOf is what the most specific level says of a filter.
func overrideOf(x *stream.Exchange, name string) (config.Override, bool) {
	if x.Weighted != nil {
		if o, ok := x.Weighted.Overrides[name]; ok {
			return o, true
		}
	}
	if x.Route != nil {
		if o, ok := x.Route.Overrides[name]; ok {
			return o, true
		}
	}
	if x.VirtualHost != nil {
		if o, ok := x.VirtualHost.Overrides[name]; ok {
			return o, true
		}
	}
	if x.Table != nil {
		o, ok := x.Table.Overrides[name]
		return o, ok
	}
	return config.Override{}, false
}
