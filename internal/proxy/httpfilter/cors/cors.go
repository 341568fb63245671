// Package cors answers preflight requests of browsers and says in answers which origins may read them.
// https://fetch.spec.whatwg.org/#http-cors-protocol
package cors

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

type cors struct {
	override       *config.CORS // nil: the route's policy counts
	deps           filter.Deps
	valid, invalid func()
}

// New returns the filter. Its own configuration says nothing: policies stand in routes, virtual hosts and overrides.
func New(_ *config.CORS, d filter.Deps) (filter.Filter, error) {
	d = d.WithDefaults()
	return &cors{nil, d, d.Counter("cors.origin_valid"), d.Counter("cors.origin_invalid")}, nil
}

// Override returns the filter with a policy.
func (f *cors) Override(c any) (filter.Filter, error) {
	policy, ok := c.(*config.CORS)
	if !ok {
		return nil, fmt.Errorf("an override of type %T", c)
	}
	other := *f
	other.override = policy
	return &other, nil
}

// policy is what counts for x: an override's, the route's, the virtual host's.
func (f *cors) policy(x *stream.Exchange) *config.CORS {
	switch {
	case f.override != nil:
		return f.override
	case x.Route != nil && x.Route.Forward != nil && x.Route.Forward.CORS != nil:
		return x.Route.Forward.CORS
	case x.VirtualHost != nil:
		return x.VirtualHost.CORS
	default:
		return nil
	}
}

// Request answers a preflight of an allowed origin, and of others if the policy says they aren't forwarded.
func (f *cors) Request(_ context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	p := f.policy(x)
	origin := x.Request.Fields.Value("origin")
	if p == nil || origin == "" || !f.on(p) && !shadowed(&f.deps, p) {
		return nil
	}
	allowed := Allows(p, origin)
	if tr.On() {
		tr.Note("filter", "cors: origin %s allowed: %v", origin, allowed)
	} else {
		f.count(allowed)
	}
	if !f.on(p) || !preflight(x) || !allowed && (p.ForwardUnmatched == nil || *p.ForwardUnmatched) {
		return nil
	}
	reply := &filter.Reply{Status: 200, Details: "cors_response"}
	if allowed {
		reply.Fields = answer(p, origin, x)
	}
	return reply
}

func (f *cors) count(allowed bool) {
	if allowed {
		f.valid()
	} else {
		f.invalid()
	}
}

// on asks the runtime. A policy that says nothing is on.
func (f *cors) on(p *config.CORS) bool { return p.Enabled == nil || f.deps.Takes(p.Enabled) }

func shadowed(d *filter.Deps, p *config.CORS) bool { return d.Takes(p.Shadow) }

// Allows reports whether the policy lets an origin read answers.
func Allows(p *config.CORS, origin string) bool {
	return slices.ContainsFunc(p.Origins, func(m config.StringMatch) bool {
		return m.Match(origin) || m.Kind == config.StringExact && m.Value == "*"
	})
}

func preflight(x *stream.Exchange) bool {
	return x.Request.Method == http.MethodOptions && x.Request.Fields.Value("access-control-request-method") != ""
}

func answer(p *config.CORS, origin string, x *stream.Exchange) []stream.Field {
	fields := []stream.Field{{Name: "access-control-allow-origin", Value: origin}}
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, stream.Field{Name: name, Value: value})
		}
	}
	add("access-control-allow-credentials", yes(p.Credentials))
	add("access-control-allow-methods", p.Methods)
	add("access-control-allow-headers", p.Headers)
	add("access-control-max-age", p.MaxAge)
	if x.Request.Fields.Value("access-control-request-private-network") == "true" {
		add("access-control-allow-private-network", yes(p.PrivateNetwork))
	}
	return fields
}

func yes(b *bool) string {
	if b != nil && *b {
		return "true"
	}
	return ""
}

// Response tells the browser that the origin may read the answer.
func (f *cors) Response(x *stream.Exchange) {
	p := f.policy(x)
	origin := x.Request.Fields.Value("origin")
	if p == nil || origin == "" || x.Details == "cors_response" || !f.on(p) || !Allows(p, origin) {
		return
	}
	fields := &x.Response.Fields
	fields.Set("access-control-allow-origin", origin)
	if v := yes(p.Credentials); v != "" {
		fields.Set("access-control-allow-credentials", v)
	}
	if p.Expose != "" {
		fields.Set("access-control-expose-headers", p.Expose)
	}
}
