package xds

import (
	"time"

	ratelimitconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/ratelimit/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

const (
	defaultRateTimeout = 20 * time.Millisecond
	maxStage           = 10
	maxHits            = 1_000_000_000 // of one request
)

func (d *decoder) rateLimitFilter(t typed) any {
	var m ratelimitv3.RateLimit
	if !d.into(t, &m) {
		return nil
	}
	out := &config.RateLimit{
		Domain: d.intern(m.Domain), StatPrefix: d.intern(m.StatPrefix), Stage: m.Stage, Requests: d.requestType(m.RequestType),
		Timeout:       d.duration("timeout", m.Timeout, defaultRateTimeout),
		DenyOnFailure: m.FailureModeDeny, DenyFraction: d.fraction("failure_mode_deny_percent", m.FailureModeDenyPercent),
		Enabled: d.fraction("filter_enabled", m.FilterEnabled), Enforced: d.fraction("filter_enforced", m.FilterEnforced),
		Status: d.errorStatus("rate_limited_status", m.RateLimitedStatus), StatusOnError: d.errorStatus("status_on_error", m.StatusOnError),
		AsResource: m.RateLimitedAsResourceExhausted, RetryAfter: m.EnableRetryAfterHeader, NoLimitedHeader: m.DisableXEnvoyRatelimitedHeader,
		ResponseHeaders: d.headerAdds("response_headers_to_add", m.ResponseHeadersToAdd),
		RateLimits:      d.ownRateLimits(m.RateLimits), Namespace: d.intern(m.MetadataNamespace),
	}
	out.RateHeaders = choose(d, "enable_x_ratelimit_headers", int32(m.EnableXRatelimitHeaders), []bool{false, true})
	if m.Domain == "" {
		d.failIn("domain", "empty")
	}
	if m.Stage > maxStage {
		d.failIn("stage", "above %d", maxStage)
	}
	d.in("rate_limit_service", func() { d.rateLimitService(m.RateLimitService, out) })
	return out
}

func (d *decoder) rateLimitService(s *ratelimitconfigv3.RateLimitServiceConfig, out *config.RateLimit) {
	d.apiV3(s.GetTransportApiVersion())
	d.in("grpc_service", func() {
		out.GRPCCluster, out.Authority, out.AddHeaders = d.grpcService(s.GetGrpcService())
		d.noEffect(s.GetGrpcService().GetTimeout() != nil, "timeout")
	})
}

func (d *decoder) requestType(text string) config.RateLimitRequests {
	switch text {
	case "", "both":
		return config.RateLimitBoth
	case "internal":
		return config.RateLimitInternal
	case "external":
		return config.RateLimitExternal
	}
	d.failIn("request_type", "%q is neither internal, external nor both", excerpt(text))
	return config.RateLimitBoth
}

// errorStatus is the status of a denial. Below 400 Envoy takes its default, 0 here.
func (d *decoder) errorStatus(field string, s *typev3.HttpStatus) uint32 {
	switch code := s.GetCode(); {
	case code < 0 || code > 599:
		d.failIn(field, "%d is not a status", code)
		return 0
	case code < 400:
		return 0
	default:
		return uint32(code)
	}
}

// ownRateLimits decodes limits that stand in the filter's own configuration, where some of their fields mean nothing.
func (d *decoder) ownRateLimits(list []*routev3.RateLimit) []config.RateLimitActions {
	out := d.rateLimits("rate_limits", list)
	for i, r := range list {
		d.at("rate_limits", i, func() {
			d.noEffect(r.GetStage() != nil, "stage")
			d.noEffect(r.GetDisableKey() != "", "disable_key")
			if r.GetApplyOnStreamDone() {
				d.failIn("apply_on_stream_done", "not supported")
			}
			if i < len(out) {
				out[i].Disable = ""
				out[i].Hits, out[i].Refund = d.hitsAddend(r.GetHitsAddend()), r.GetHitsAddend().GetIsNegativeHits()
			}
		})
	}
	return out
}

func (d *decoder) hitsAddend(h *routev3.RateLimit_HitsAddend) *uint64 {
	if h.GetFormat() != "" {
		d.failIn("hits_addend.format", "not supported")
	}
	if h.GetNumber() == nil {
		return nil
	}
	n := h.GetNumber().GetValue()
	if n > maxHits {
		d.failIn("hits_addend.number", "above %d", maxHits)
	}
	return &n
}

func (d *decoder) rateLimitOverride(t typed) (out config.Override) {
	var m ratelimitv3.RateLimitPerRoute
	if !d.into(t, &m) {
		return out
	}
	o := &config.RateLimitRoute{Domain: d.intern(m.Domain), RateLimits: d.ownRateLimits(m.RateLimits)}
	o.VirtualHost = choose(d, "vh_rate_limits", int32(m.VhRateLimits), []config.VirtualHostLimits{
		config.HostLimitsAlone, config.HostLimitsToo, config.HostLimitsNever,
	})
	d.noEffect(m.OverrideOption != 0, "override_option")
	out.Config = o
	return out
}
