package xds

import (
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
		RateLimits:      d.localRateLimits(m.RateLimits),
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

// localRateLimits decodes rate_limits, whose descriptors take one token of a bucket and no other limit than that.
func (d *decoder) localRateLimits(list []*routev3.RateLimit) []config.RateLimitActions {
	out := d.rateLimits("rate_limits", list)
	for i, r := range list {
		d.at("rate_limits", i, func() {
			if r.GetHitsAddend() != nil {
				d.failIn("hits_addend", "not supported")
			}
			if r.GetApplyOnStreamDone() {
				d.failIn("apply_on_stream_done", "not supported")
			}
			d.noEffect(r.GetLimit() != nil, "limit")
		})
	}
	return out
}
