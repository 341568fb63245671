package xds

import (
	"slices"
	"time"

	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Envoy's defaults.
const (
	defaultJWKSCache = 10 * time.Minute
	defaultSkew      = 60 // seconds
)

func (d *decoder) jwt(t typed) any {
	var m jwtv3.JwtAuthentication
	if !d.into(t, &m) {
		return nil
	}
	out := &config.JWT{
		Providers: map[string]*config.JWTProvider{}, Requirements: map[string]*config.JWTRequirement{},
		BypassCORS: m.BypassCorsPreflight,
	}
	for _, name := range sortedKeys(m.Providers) {
		d.in("providers["+excerpt(name)+"]", func() { out.Providers[name] = d.jwtProvider(name, m.Providers[name]) })
	}
	for _, name := range sortedKeys(m.RequirementMap) {
		d.in("requirement_map["+excerpt(name)+"]", func() { out.Requirements[name] = d.requirement(m.RequirementMap[name], out) })
	}
	for i, r := range m.Rules {
		d.at("rules", i, func() { out.Rules = append(out.Rules, d.jwtRule(r, out)) })
	}
	if m.FilterStateRules != nil {
		d.failIn("filter_state_rules", "not supported")
	}
	d.noEffect(m.StripFailureResponse, "strip_failure_response")
	return out
}

func (d *decoder) jwtProvider(name string, p *jwtv3.JwtProvider) *config.JWTProvider {
	out := &config.JWTProvider{
		Name: name, Issuer: p.GetIssuer(), Audiences: slices.Clone(p.GetAudiences()),
		FromParams: slices.Clone(p.GetFromParams()), FromCookies: slices.Clone(p.GetFromCookies()),
		Forward: p.GetForward(), ForwardHeader: d.lowered([]string{p.GetForwardPayloadHeader()})[0], PadForward: p.GetPadForwardPayloadHeader(),
		PayloadMetadata: p.GetPayloadInMetadata(), HeaderMetadata: p.GetHeaderInMetadata(),
		Skew: time.Duration(skew(p.GetClockSkewSeconds())) * time.Second, ClearRouteCache: p.GetClearRouteCache(),
		NormalizeSpaces: len(p.GetNormalizePayloadInMetadata().GetSpaceDelimitedClaims()) > 0,
		RequireExpiry:   p.GetRequireExpiration(), MaxLifetime: d.duration("max_lifetime", p.GetMaxLifetime(), 0),
	}
	for i, h := range p.GetFromHeaders() {
		d.at("from_headers", i, func() {
			out.FromHeaders = append(out.FromHeaders, [2]string{d.lowered([]string{h.GetName()})[0], h.GetValuePrefix()})
		})
	}
	for i, c := range p.GetClaimToHeaders() {
		d.at("claim_to_headers", i, func() { d.claimHeader(c, out) })
	}
	d.jwks(p, out)
	if p.GetSubjects() != nil {
		d.failIn("subjects", "not supported")
	}
	d.noEffect(p.GetFailedStatusInMetadata() != "", "failed_status_in_metadata")
	return out
}

func skew(seconds uint32) uint32 {
	if seconds == 0 {
		return defaultSkew
	}
	return seconds
}

func (d *decoder) claimHeader(c *jwtv3.JwtClaimToHeader, out *config.JWTProvider) {
	if len(c.GetClaimPath()) > 0 {
		d.failIn("claim_path", "not supported")
	}
	out.ClaimHeaders = append(out.ClaimHeaders, [2]string{d.headerName(c.GetHeaderName()), c.GetClaimName()})
}

func (d *decoder) jwks(p *jwtv3.JwtProvider, out *config.JWTProvider) {
	switch s := p.GetJwksSourceSpecifier().(type) {
	case *jwtv3.JwtProvider_LocalJwks:
		d.in("local_jwks", func() { out.Inline = string(d.source(s.LocalJwks)) })
		if out.Inline == "" {
			d.failIn("local_jwks", "empty")
		}
	case *jwtv3.JwtProvider_RemoteJwks:
		d.in("remote_jwks", func() { d.remoteJWKS(s.RemoteJwks, out) })
	default:
		d.fail("neither local_jwks nor remote_jwks")
	}
}

func (d *decoder) remoteJWKS(r *jwtv3.RemoteJwks, out *config.JWTProvider) {
	d.in("http_uri", func() {
		out.RemoteURI, out.RemoteCluster = r.GetHttpUri().GetUri(), r.GetHttpUri().GetCluster()
		out.RemoteTimeout = d.duration("timeout", r.GetHttpUri().GetTimeout(), time.Second)
		if out.RemoteURI == "" || out.RemoteCluster == "" {
			d.fail("without uri or cluster")
		}
	})
	out.CacheTime = d.duration("cache_duration", r.GetCacheDuration(), defaultJWKSCache)
}

func (d *decoder) jwtRule(r *jwtv3.RequirementRule, all *config.JWT) (out config.JWTRule) {
	d.in("match", func() { out.Match = d.routeMatch(r.GetMatch()) })
	switch s := r.GetRequirementType().(type) {
	case nil:
	case *jwtv3.RequirementRule_Requires:
		d.in("requires", func() { out.Requirement = d.requirement(s.Requires, all) })
	case *jwtv3.RequirementRule_RequirementName:
		if out.Requirement = all.Requirements[s.RequirementName]; out.Requirement == nil {
			d.failIn("requirement_name", "%q is not in requirement_map", excerpt(s.RequirementName))
		}
	}
	return out
}

func (d *decoder) requirement(r *jwtv3.JwtRequirement, all *config.JWT) *config.JWTRequirement {
	out := &config.JWTRequirement{}
	switch s := r.GetRequiresType().(type) {
	case nil: // verification is off
	case *jwtv3.JwtRequirement_ProviderName:
		out.Provider = s.ProviderName
	case *jwtv3.JwtRequirement_ProviderAndAudiences:
		out.Provider, out.Audiences = s.ProviderAndAudiences.GetProviderName(), slices.Clone(s.ProviderAndAudiences.GetAudiences())
	case *jwtv3.JwtRequirement_RequiresAny:
		out.Any = d.requirements("requires_any.requirements", s.RequiresAny.GetRequirements(), all)
	case *jwtv3.JwtRequirement_RequiresAll:
		out.All = d.requirements("requires_all.requirements", s.RequiresAll.GetRequirements(), all)
	case *jwtv3.JwtRequirement_AllowMissing:
		out.AllowMissing = true
	case *jwtv3.JwtRequirement_AllowMissingOrFailed:
		out.AllowMissingOrFailed = true
	default:
		d.fail("this kind of requirement is not supported")
	}
	if out.Provider != "" && all.Providers[out.Provider] == nil {
		d.failIn("provider_name", "%q is not in providers", excerpt(out.Provider))
	}
	return out
}

func (d *decoder) requirements(field string, list []*jwtv3.JwtRequirement, all *config.JWT) []*config.JWTRequirement {
	out := make([]*config.JWTRequirement, 0, len(list))
	for i, r := range list {
		d.at(field, i, func() { out = append(out, d.requirement(r, all)) })
	}
	return out
}

// jwtOverride decodes a PerRouteConfig: off, or another requirement of the filter's map.
func (d *decoder) jwtOverride(t typed) (out config.Override) {
	var m jwtv3.PerRouteConfig
	if !d.into(t, &m) {
		return out
	}
	switch s := m.RequirementSpecifier.(type) {
	case *jwtv3.PerRouteConfig_Disabled:
		out.Disabled = s.Disabled
	case *jwtv3.PerRouteConfig_RequirementName:
		out.Config = &config.JWTRoute{Requirement: s.RequirementName}
	default:
		d.fail("neither disabled nor requirement_name")
	}
	return out
}
