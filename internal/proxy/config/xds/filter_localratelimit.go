package xds

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// minFill is the shortest fill_interval Envoy takes.
const minFill = 50_000_000

func (d *decoder) localRateLimit(t typed) any {
	var m localv3.LocalRateLimit
	if !d.into(t, &m) {
		return nil
	}
	out := &config.LocalRateLimit{
		StatPrefix: d.intern(m.StatPrefix), Stage: m.Stage, PerConnection: m.LocalRateLimitPerDownstreamConnection,
		Enabled: d.fraction("filter_enabled", m.FilterEnabled), Enforced: d.fraction("filter_enforced", m.FilterEnforced),
		ResponseHeaders: d.headerAdds("response_headers_to_add", m.ResponseHeadersToAdd),
		RequestHeaders:  d.headerAdds("request_headers_to_add_when_not_enforced", m.RequestHeadersToAddWhenNotEnforced),
		RateHeaders:     m.EnableXRatelimitHeaders != ratelimitv3.XRateLimitHeadersRFCVersion_OFF,
		AsResource:      m.RateLimitedAsResourceExhausted,
		RateLimits:      d.rateLimits("rate_limits", m.RateLimits),
	}
	if code := uint32(m.GetStatus().GetCode()); code >= 400 { // below, Envoy answers 429
		out.Status = code
	}
	if m.TokenBucket != nil {
		d.in("token_bucket", func() { out.Bucket = d.bucket(m.TokenBucket) })
	}
	for i, r := range m.Descriptors {
		d.at("descriptors", i, func() { out.Descriptors = append(out.Descriptors, d.rateDescriptor(r)) })
	}
	if m.LocalClusterRateLimit != nil {
		d.failIn("local_cluster_rate_limit", "not supported")
	}
	out.VirtualHost = choose(d, "vh_rate_limits", int32(m.VhRateLimits), []config.VirtualHostLimits{
		config.HostLimitsAlone, config.HostLimitsToo, config.HostLimitsNever,
	})
	out.OnlyDescriptors = !truth(m.AlwaysConsumeDefaultTokenBucket, true)
	d.noEffect(m.EnableRetryAfterHeader, "enable_retry_after_header")
	return out
}

func (d *decoder) bucket(b *typev3.TokenBucket) config.TokenBucket {
	out := config.TokenBucket{
		Max: b.GetMaxTokens(), PerFill: number(b.GetTokensPerFill(), 1), Interval: d.duration("fill_interval", b.GetFillInterval(), 0),
	}
	if out.Max == 0 {
		d.failIn("max_tokens", "zero")
	}
	if out.Interval < minFill {
		d.failIn("fill_interval", "below 50ms")
	}
	if b.GetTokensPerFill() != nil && out.PerFill == 0 {
		d.failIn("tokens_per_fill", "zero")
	}
	return out
}

func (d *decoder) rateDescriptor(r *ratelimitv3.LocalRateLimitDescriptor) (out config.RateDescriptor) {
	for i, e := range r.GetEntries() {
		if e.GetKey() == "" {
			d.at("entries", i, func() { d.fail("no key") })
		}
		out.Entries = append(out.Entries, [2]string{d.intern(e.GetKey()), d.intern(e.GetValue())})
	}
	if len(out.Entries) == 0 {
		d.failIn("entries", "none")
	}
	d.in("token_bucket", func() { out.Bucket = d.bucket(r.GetTokenBucket()) })
	return out
}

// rateLimits decodes those of a filter, of which each must be understood.
func (d *decoder) rateLimits(field string, list []*routev3.RateLimit) (out []config.RateLimitActions) {
	for i, r := range list {
		d.at(field, i, func() { out = append(out, d.rateLimit(r)) })
	}
	return out
}

// routeRateLimits decodes those of a route or virtual host. They may be for a filter that isn't there, so one that isn't
// understood doesn't cost the table: it limits nothing.
func (d *decoder) routeRateLimits(list []*routev3.RateLimit) (out []config.RateLimitActions) {
	for i, r := range list {
		d.at("rate_limits", i, func() {
			if slices.ContainsFunc(r.GetActions(), unknownRateAction) {
				d.note(Degraded, "actions")
				return
			}
			out = append(out, d.rateLimit(r))
		})
	}
	return out
}

func (d *decoder) rateLimit(r *routev3.RateLimit) config.RateLimitActions {
	out := config.RateLimitActions{Stage: number(r.GetStage(), 0), Disable: r.GetDisableKey()}
	for j, a := range r.GetActions() {
		d.at("actions", j, func() { out.Actions = append(out.Actions, d.rateAction(a)) })
	}
	return out
}

// unknownRateAction reports whether rateAction doesn't know the kind of a.
func unknownRateAction(a *routev3.RateLimit_Action) bool {
	switch a.GetActionSpecifier().(type) {
	case *routev3.RateLimit_Action_SourceCluster_, *routev3.RateLimit_Action_DestinationCluster_, *routev3.RateLimit_Action_RemoteAddress_,
		*routev3.RateLimit_Action_RequestHeaders_, *routev3.RateLimit_Action_GenericKey_, *routev3.RateLimit_Action_HeaderValueMatch_:
		return false
	}
	return true
}

func (d *decoder) rateAction(a *routev3.RateLimit_Action) (out config.RateLimitAction) {
	switch s := a.GetActionSpecifier().(type) {
	case *routev3.RateLimit_Action_SourceCluster_:
		out.Kind = config.RateSourceCluster
	case *routev3.RateLimit_Action_DestinationCluster_:
		out.Kind = config.RateDestinationCluster
	case *routev3.RateLimit_Action_RemoteAddress_:
		out.Kind = config.RateRemoteAddress
	case *routev3.RateLimit_Action_RequestHeaders_:
		h := s.RequestHeaders
		out = config.RateLimitAction{
			Kind: config.RateRequestHeader, Key: d.intern(h.GetDescriptorKey()),
			Header: d.lowered([]string{h.GetHeaderName()})[0], SkipAbsent: h.GetSkipIfAbsent(),
		}
	case *routev3.RateLimit_Action_GenericKey_:
		g := s.GenericKey
		out = config.RateLimitAction{Kind: config.RateGenericKey, Key: d.keyOr(g.GetDescriptorKey(), "generic_key"), Value: d.intern(g.GetDescriptorValue())}
	case *routev3.RateLimit_Action_HeaderValueMatch_:
		h := s.HeaderValueMatch
		out = config.RateLimitAction{
			Kind: config.RateHeaderValueMatch, Key: d.keyOr(h.GetDescriptorKey(), "header_match"), Value: d.intern(h.GetDescriptorValue()),
			Headers: d.headerMatches("header_value_match.headers", h.GetHeaders()), Expect: truth(h.GetExpectMatch(), true),
		}
	default:
		d.fail("this kind of action is not supported")
	}
	return out
}

func (d *decoder) keyOr(key, missing string) string {
	if key == "" {
		return missing
	}
	return d.intern(key)
}
