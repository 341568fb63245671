// Package extauthz asks an authorization service whether a request may pass, over gRPC or HTTP. What the service sees
// and what its answer changes stands in http.go for HTTP; for gRPC in check.go and answer.go. Read Request first.
package extauthz

import (
	"context"
	"fmt"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

type authz struct {
	config                         *config.ExtAuthz
	deps                           filter.Deps
	ok, denied, failed, failedOpen func()
	disabled                       func()
	timeout                        time.Duration
}

// standardTimeout is how long the service may take unless configured.
const standardTimeout = 200 * time.Millisecond

// New returns the filter.
func New(c *config.ExtAuthz, d filter.Deps) (filter.Filter, error) {
	d = d.WithDefaults()
	count := func(name string) func() { return d.Counter("ext_authz." + c.StatPrefix + name) }
	f := &authz{
		config: c, deps: d, timeout: c.Timeout,
		ok: count("ok"), denied: count("denied"), failed: count("error"), failedOpen: count("failure_mode_allowed"),
		disabled: count("disabled"),
	}
	if f.timeout == 0 {
		f.timeout = standardTimeout
	}
	return f, nil
}

// Override returns the filter with more context for the service, or without the body.
func (f *authz) Override(c any) (filter.Filter, error) {
	o, ok := c.(*config.ExtAuthz)
	if !ok {
		return nil, fmt.Errorf("an override of type %T", c)
	}
	if o.GRPCCluster != "" || o.HTTPCluster != "" {
		return New(o, f.deps)
	}
	changed := *f.config
	changed.ContextExtras = merged(f.config.ContextExtras, o.ContextExtras)
	if o.DisableBody {
		changed.MaxRequestBytes = 0
	}
	return New(&changed, f.deps)
}

func merged(base, over map[string]string) map[string]string {
	all := make(map[string]string, len(base)+len(over))
	for _, m := range [...]map[string]string{base, over} {
		for key, value := range m {
			all[key] = value
		}
	}
	return all
}

// Request asks the service. Its refusal is the answer; if it can't be asked that is 403 (or status_on_error) unless
// failure_mode_allow lets the request pass.
func (f *authz) Request(ctx context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	if !f.on(x) {
		f.disabled()
		if f.config.DenyDisabled {
			return &filter.Reply{Status: 403, Details: "ext_authz_denied", Flags: stream.UnauthorizedExternalService}
		}
		return nil
	}
	if tr.On() {
		tr.Note("filter", "ext_authz: would ask %s", f.config.GRPCCluster+f.config.HTTPCluster)
		return nil
	}
	body, partial, reply := f.body(ctx, x)
	if reply != nil {
		return reply
	}
	asking, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	v, err := f.ask(asking, x, body, partial)
	if err != nil {
		return f.unanswered(x)
	}
	return f.apply(x, v)
}

func (f *authz) on(x *stream.Exchange) bool {
	if f.config.EnabledMetadata != nil && !f.config.EnabledMetadata.Match(x.Metadata) {
		return false
	}
	return f.config.Enabled == nil || f.deps.Takes(f.config.Enabled)
}

// body reads what the service is to see of the body. A longer one is refused unless a part will do.
func (f *authz) body(ctx context.Context, x *stream.Exchange) (body []byte, partial bool, reply *filter.Reply) {
	if f.config.MaxRequestBytes == 0 || !x.Request.HasBody {
		return nil, false, nil
	}
	body, whole, err := f.deps.Body(ctx, x, int(f.config.MaxRequestBytes))
	switch {
	case err != nil:
		return nil, false, f.unanswered(x)
	case !whole && !f.config.AllowPartial:
		return nil, false, &filter.Reply{Status: 413, Body: "Payload Too Large", Details: "request_payload_too_large"}
	}
	return body, !whole, nil
}

func (f *authz) ask(ctx context.Context, x *stream.Exchange, body []byte, partial bool) (*verdict, error) {
	if f.config.GRPCCluster != "" {
		return f.check(ctx, x, body, partial)
	}
	answer, err := f.deps.Call(ctx, f.call(x, body, partial))
	if err != nil {
		return nil, err
	}
	return f.judged(answer)
}

func (f *authz) unanswered(x *stream.Exchange) *filter.Reply {
	f.failed()
	if f.config.FailureAllow {
		f.failedOpen()
		if f.config.FailureHeader {
			x.Request.Fields.Set("x-envoy-auth-failure-mode-allowed", "true")
		}
		return nil
	}
	reply := &filter.Reply{Status: 403, Details: "ext_authz_error", Flags: stream.UnauthorizedExternalService}
	if f.config.StatusOnError != 0 {
		reply.Status = int(f.config.StatusOnError)
	}
	return reply
}
