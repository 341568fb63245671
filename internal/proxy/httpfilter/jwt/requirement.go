package jwt

import (
	"context"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// question is one request whose tokens are looked at.
type question struct {
	ctx context.Context
	x   *stream.Exchange
	tr  *stream.Trace
}

// check returns what is wrong with q's tokens, measured by a requirement.
func (f *authn) check(q *question, r *config.JWTRequirement) problem {
	switch {
	case r.Provider != "":
		p := f.byName[r.Provider]
		if p == nil {
			return unknownIssuer
		}
		return f.checkProvider(q, p, r.Audiences)
	case len(r.All) > 0:
		for _, each := range r.All {
			if problem := f.check(q, each); problem != none {
				return problem
			}
		}
		return none
	case len(r.Any) > 0:
		return f.checkAny(q, r.Any)
	case r.AllowMissing || r.AllowMissingOrFailed:
		return f.checkAny(q, append(f.everyProvider(), r))
	default:
		return none
	}
}

// everyProvider is what allow_missing means when it stands alone: whatever token there is must be some provider's.
func (f *authn) everyProvider() []*config.JWTRequirement {
	list := make([]*config.JWTRequirement, 0, len(f.providers)+1)
	for _, p := range f.providers {
		list = append(list, &config.JWTRequirement{Provider: p.config.Name})
	}
	return list
}

// checkAny wants one to be met. allow_missing among them is met when there was no token at all, allow_missing_or_failed
// always, after the others had their chance to accept one.
func (f *authn) checkAny(q *question, list []*config.JWTRequirement) problem {
	worst := missing
	allowMissing, allowFailed := false, false
	for _, each := range list {
		switch {
		case each.AllowMissing:
			allowMissing = true
			continue
		case each.AllowMissingOrFailed:
			allowFailed = true
			continue
		}
		problem := f.check(q, each)
		if problem == none {
			return none
		}
		if rank(problem) >= rank(worst) {
			worst = problem
		}
	}
	if allowFailed || allowMissing && worst == missing {
		return none
	}
	return worst
}

// rank orders problems by how much they tell: that a token is another provider's tells less than what is wrong with it.
func rank(p problem) int {
	switch p {
	case missing:
		return 0
	case unknownIssuer:
		return 1
	default:
		return 2
	}
}

// checkProvider accepts the first of the tokens at the provider's places that is good, else says what the last one
// lacks. audiences, if any, are wanted instead of the provider's.
func (f *authn) checkProvider(q *question, p *provider, audiences []string) problem {
	found := p.extract(q.x)
	problem := missing
	for i := range found {
		var t *token
		if t, problem = f.checkToken(q, p, found[i].text, audiences); problem == none {
			p.accept(q.x, t, found[i])
			return none
		}
	}
	return problem
}

func (f *authn) checkToken(q *question, p *provider, text string, audiences []string) (*token, problem) {
	t, problem := parse(text)
	if problem != none {
		return nil, problem
	}
	if p.config.Issuer != "" && t.issuer != p.config.Issuer {
		return nil, unknownIssuer
	}
	if problem := p.timely(t, f.deps.Now()); problem != none {
		return nil, problem
	}
	if len(audiences) == 0 {
		audiences = p.config.Audiences
	}
	if !audienceFits(t.audiences, audiences) {
		return nil, audienceNotAllowed
	}
	keys, problem := p.keys.get(q.ctx, q.tr.On())
	if problem != none {
		return nil, problem
	}
	return t, verify(t, keys)
}
