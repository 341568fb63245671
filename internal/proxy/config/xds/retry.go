package xds

import (
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// retryConditions are the conditions of retry_on that are known. Envoy skips others, and so do we.
var retryConditions = []struct {
	name string
	on   config.RetryOn
}{
	{"5xx", config.Retry5xx}, {"gateway-error", config.RetryGatewayError}, {"reset", config.RetryReset},
	{"reset-before-request", config.RetryResetBeforeRequest}, {"connect-failure", config.RetryConnectFailure},
	{"envoy-ratelimited", config.RetryEnvoyRateLimited}, {"retriable-4xx", config.Retry4xx},
	{"refused-stream", config.RetryRefusedStream}, {"retriable-status-codes", config.RetryStatusCodes},
	{"retriable-headers", config.RetryHeaders}, {"cancelled", config.RetryGRPCCancelled},
	{"deadline-exceeded", config.RetryGRPCDeadlineExceeded}, {"internal", config.RetryGRPCInternal},
	{"resource-exhausted", config.RetryGRPCResourceExhausted}, {"unavailable", config.RetryGRPCUnavailable},
}

// retry decodes a retry policy, nil if it isn't set.
func (d *decoder) retry(p *routev3.RetryPolicy) (out *config.RetryPolicy) {
	if p != nil {
		d.in("retry_policy", func() { out = d.retryPolicy(p) })
	}
	return out
}

func (d *decoder) retryPolicy(p *routev3.RetryPolicy) *config.RetryPolicy {
	out := &config.RetryPolicy{
		On: d.retryOn(p.RetryOn), Retries: number(p.NumRetries, 1),
		PerTryTimeout:  d.duration("per_try_timeout", p.PerTryTimeout, 0),
		PerTryIdle:     d.duration("per_try_idle_timeout", p.PerTryIdleTimeout, 0),
		StatusCodes:    slices.Clone(p.RetriableStatusCodes),
		Headers:        d.headerMatches("retriable_headers", p.RetriableHeaders),
		RequestHeaders: d.headerMatches("retriable_request_headers", p.RetriableRequestHeaders),
		HostAttempts:   uint32(min(max(p.HostSelectionRetryMaxAttempts, 0), 1000)),
	}
	d.retryBackOff(p, out)
	for i, h := range p.RetryHostPredicate {
		d.step(segment{"retry_host_predicate", i, h.GetName()}, func() { d.hostPredicate(d.open(h.GetTypedConfig()), h.GetName(), out) })
	}
	d.noEffect(len(p.RetryOptionsPredicates) > 0, "retry_options_predicates")
	if r := p.RetryPriority; r != nil {
		d.step(segment{"retry_priority", -1, r.GetName()}, func() { d.retryPriority(d.open(r.GetTypedConfig()), r.GetName(), out) })
	}
	return out
}

func (d *decoder) retryOn(list string) (on config.RetryOn) {
	for _, name := range strings.Split(list, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(retryConditions, func(c struct {
			name string
			on   config.RetryOn
		}) bool {
			return c.name == name
		})
		if i >= 0 {
			on |= retryConditions[i].on
		} else if name != "" {
			d.in("retry_on", func() { d.note(NoEffect, excerpt(name)) })
		}
	}
	return on
}

func (d *decoder) retryBackOff(p *routev3.RetryPolicy, out *config.RetryPolicy) {
	if b := p.RetryBackOff; b != nil {
		d.in("retry_back_off", func() {
			out.BaseInterval = d.duration("base_interval", b.BaseInterval, 0)
			out.MaxInterval = d.duration("max_interval", b.MaxInterval, 0)
			if b.BaseInterval == nil || b.MaxInterval != nil && out.MaxInterval < out.BaseInterval {
				d.fail("base_interval is missing, or above max_interval")
			}
		})
	}
	if r := p.RateLimitedRetryBackOff; r != nil {
		for _, h := range r.ResetHeaders {
			out.RateLimitedHeader = d.lowered([]string{h.GetName()})[0]
			break
		}
	}
}

// hostPredicate notes which hosts a retry avoids. An unknown predicate costs its advice, nothing else.
func (d *decoder) hostPredicate(t typed, name string, out *config.RetryPolicy) {
	switch {
	case t.message == previousHostsType || name == "envoy.retry_host_predicates.previous_hosts":
		out.PreviousHosts = true
	case t.message == omitCanaryType:
		out.OmitCanary = true
	default:
		d.note(Degraded, name)
	}
}

// retryPriority says how retries move on to other priorities. An unknown one costs its advice, nothing else.
func (d *decoder) retryPriority(t typed, name string, out *config.RetryPolicy) {
	if t.message != previousPrioritiesType {
		d.note(Degraded, name)
		return
	}
	var m previousv3.PreviousPrioritiesConfig
	if !d.into(t, &m) {
		return
	}
	if m.UpdateFrequency <= 0 {
		d.failIn("update_frequency", "%d is not above zero", m.UpdateFrequency)
		return
	}
	out.PreviousPriorities = uint32(m.UpdateFrequency)
}
