// Package jwt lets requests pass that carry JSON Web Tokens (RFC 7519) as its rules require, and says of others what is
// wrong with theirs in Envoy's words. Read this file first; requirement.go evaluates a rule, extract.go finds tokens,
// token.go reads one, keys.go and verify.go check its signature, remote.go fetches keys, accept.go says what an accepted
// token leaves in the request.
package jwt

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

type authn struct {
	config          *config.JWT
	deps            filter.Deps
	providers       []*provider // by name
	byName          map[string]*provider
	chosen          string // of an override: the requirement's name; empty: the rules decide
	allowed, denied func()
}

// New returns the filter.
func New(c *config.JWT, d filter.Deps) (filter.Filter, error) {
	d = d.WithDefaults()
	f := &authn{config: c, deps: d, allowed: d.Counter("jwt_authn.allowed"), denied: d.Counter("jwt_authn.denied")}
	f.providers, f.byName = newProviders(c.Providers, d)
	return f, nil
}

// Override returns the filter with another requirement for all requests. It shares keys with this one.
func (f *authn) Override(c any) (filter.Filter, error) {
	o, ok := c.(*config.JWTRoute)
	if !ok {
		return nil, fmt.Errorf("an override of type %T", c)
	}
	other := *f
	other.chosen = o.Requirement
	return &other, nil
}

// Request answers 401, or 403 for another audience, if x's tokens aren't what is required.
func (f *authn) Request(ctx context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	if f.config.BypassCORS && preflight(x) {
		f.allowed()
		return nil
	}
	for _, p := range f.providers {
		p.sanitize(x)
	}
	requirement, found := f.requirement(x)
	if !found {
		return refuse(x, problem("Wrong requirement_name: "+f.chosen))
	}
	if requirement == nil {
		return nil
	}
	problem := f.check(&question{ctx: ctx, x: x, tr: tr}, requirement)
	if tr.On() {
		tr.Note("filter", "jwt_authn: %s", problem)
	}
	if problem != none {
		f.denied()
		return refuse(x, problem)
	}
	f.allowed()
	return nil
}

func preflight(x *stream.Exchange) bool {
	f := &x.Request.Fields
	return x.Request.Method == http.MethodOptions && f.Value("origin") != "" && f.Value("access-control-request-method") != ""
}

// requirement is what is required of x; nil: nothing. The first rule that matches counts.
func (f *authn) requirement(x *stream.Exchange) (r *config.JWTRequirement, found bool) {
	if f.chosen != "" {
		r, found = f.config.Requirements[f.chosen]
		return r, found
	}
	for i := range f.config.Rules {
		if route.Matches(&f.config.Rules[i].Match, x, f.deps.Random(), f.deps.Runtime) {
			return f.config.Rules[i].Requirement, true
		}
	}
	return nil, true
}

func refuse(x *stream.Exchange, p problem) *filter.Reply {
	reply := &filter.Reply{Status: 401, Body: string(p)}
	if p == audienceNotAllowed {
		reply.Status = 403
	}
	reply.Details = "jwt_authn_access_denied{" + strings.ReplaceAll(string(p), " ", "_") + "}"
	challenge := `Bearer realm="` + realm(x) + `"`
	if p != missing {
		challenge += `, error="invalid_token"`
	}
	reply.Fields = []stream.Field{{Name: "www-authenticate", Value: challenge}}
	return reply
}

// realm is the request's address without its query, at most 256 bytes of path.
func realm(x *stream.Exchange) string {
	scheme := x.Request.Fields.Value("x-forwarded-proto")
	if scheme == "" {
		scheme = "http"
	}
	path := x.Request.Path
	if x.Request.OriginalPath != "" {
		path = x.Request.OriginalPath
	}
	path, _, _ = strings.Cut(path, "?")
	text := scheme + "://" + x.Request.Authority + path[:min(len(path), 256)]
	return strings.ReplaceAll(strings.ReplaceAll(text, `\`, "%5C"), `"`, "%22")
}
