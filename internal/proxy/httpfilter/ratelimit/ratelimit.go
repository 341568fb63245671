// Package ratelimit asks a rate limit service whether a request is one too many. The descriptors that the rate_limits of
// filter, route and virtual host make out of a request go out, and the service's answer comes in. Read Request first;
// question.go and answer.go are the messages, headers.go what clients are told.
package ratelimit

import (
	"cmp"
	"context"
	"fmt"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/descriptor"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/unary"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// method is what is called.
const method = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"

// mostAnswer is how long the service's answer may be, in bytes.
const mostAnswer = 64 << 10

type limit struct {
	config                      *config.RateLimit
	deps                        filter.Deps
	source                      descriptor.Source
	enabled, enforced           *config.Fraction
	onResponse                  *route.Ops
	ok, failed, over, forgiving string // names of the cluster's counters
	namespace                   string // of dynamic metadata
	kept                        string // where fields for the answer wait
}

// New returns the filter.
func New(c *config.RateLimit, d filter.Deps) (filter.Filter, error) {
	d = d.WithDefaults()
	prefix := "ratelimit."
	if c.StatPrefix != "" {
		prefix += c.StatPrefix + "."
	}
	f := &limit{
		config: c, deps: d,
		source:  descriptor.Source{Own: c.RateLimits, Stage: c.Stage, AnyStage: true, VirtualHost: c.VirtualHost, Service: d.Self.Service},
		enabled: c.Enabled, enforced: c.Enforced,
		onResponse: route.CompileOps(&config.HeaderOps{Add: c.ResponseHeaders}),
		ok:         prefix + "ok", failed: prefix + "error", over: prefix + "over_limit", forgiving: prefix + "failure_mode_allowed",
		namespace: cmp.Or(c.Namespace, "envoy.filters.http.ratelimit"),
	}
	f.kept = fmt.Sprintf("response %p", f)
	if f.enabled == nil {
		f.enabled = always("ratelimit.http_filter_enabled")
	}
	if f.enforced == nil {
		f.enforced = always("ratelimit.http_filter_enforcing")
	}
	return f, nil
}

// always are all requests, unless a runtime key says otherwise.
func always(key string) *config.Fraction { return &config.Fraction{Key: key, PerMillion: 1_000_000} }

// Override returns the filter with other limits, or another domain.
func (f *limit) Override(c any) (filter.Filter, error) {
	o, ok := c.(*config.RateLimitRoute)
	if !ok {
		return nil, fmt.Errorf("an override of type %T", c)
	}
	changed := *f.config
	changed.VirtualHost = o.VirtualHost
	changed.Domain = cmp.Or(o.Domain, changed.Domain)
	if len(o.RateLimits) > 0 {
		changed.RateLimits = o.RateLimits
	}
	return New(&changed, f.deps)
}

// Request asks the service if x makes a descriptor. Over the limit it answers 429, or as configured. If the service can't
// be asked the request passes, unless failure_mode_deny is set: then the answer is 500.
func (f *limit) Request(ctx context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	if x.Cluster == nil || !f.concerns(x) {
		return nil
	}
	if tr.On() {
		list, _ := f.descriptors(x)
		tr.Note("filter", "ratelimit: would ask %s about %d descriptors", f.config.GRPCCluster, len(list))
		return nil
	}
	if !f.deps.Takes(f.enabled) {
		return nil
	}
	list, known := f.descriptors(x)
	switch {
	case !known:
		return f.unanswered(x)
	case len(list) == 0:
		return nil
	}
	a, err := f.ask(ctx, list)
	if err != nil {
		return f.unanswered(x)
	}
	return f.apply(x, a)
}

// concerns reports whether the filter is for requests of x's kind.
func (f *limit) concerns(x *stream.Exchange) bool {
	if f.config.Requests == config.RateLimitBoth {
		return true
	}
	internal := x.Request.Fields.Value("x-envoy-internal") == "true"
	return internal == (f.config.Requests == config.RateLimitInternal)
}

func (f *limit) ask(ctx context.Context, list []descriptorOf) (*answer, error) {
	call := unary.Call{
		Cluster: f.config.GRPCCluster, Authority: f.config.Authority, Method: method, Metadata: f.config.AddHeaders,
		Timeout: f.config.Timeout, Message: question(f.config.Domain, list), Most: mostAnswer, Purpose: "ratelimit",
	}
	message, err := call.Do(ctx, f.deps.Call)
	if err != nil {
		return nil, err
	}
	return readAnswer(message)
}

// count counts one more of a cluster's ratelimit statistics.
func (f *limit) count(x *stream.Exchange, name string) {
	if c := f.deps.Cluster(x.ClusterName); c != nil {
		c.Extra(name).Add(1)
	}
}

// unanswered is what becomes of a request that nobody judged.
func (f *limit) unanswered(x *stream.Exchange) *filter.Reply {
	f.count(x, f.failed)
	if !f.denies() {
		f.count(x, f.forgiving)
		return nil
	}
	reply := &filter.Reply{Status: 500, Details: "rate_limiter_error", Flags: stream.RateLimitServiceError}
	if f.config.StatusOnError != 0 {
		reply.Status = int(f.config.StatusOnError)
	}
	reply.GRPCStatus = f.grpcStatus()
	return reply
}

func (f *limit) denies() bool {
	if f.config.DenyFraction != nil {
		return f.deps.Takes(f.config.DenyFraction)
	}
	return f.config.DenyOnFailure
}

// grpcStatus is that of a denial; 0: it follows from the HTTP status.
func (f *limit) grpcStatus() int {
	if f.config.AsResource {
		return 8 // RESOURCE_EXHAUSTED
	}
	return 0
}
