// Package forwardproxy is Envoy's filter dynamic_forward_proxy: a request to a cluster whose hosts are whatever requests
// name waits until its host's addresses are known. Package upstream looks them up and keeps them.
package forwardproxy

import (
	"context"
	"errors"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

type forward struct {
	config  *config.ForwardProxy
	route   config.ForwardProxyRoute
	resolve func(ctx context.Context, cluster, authority string) error
}

// New returns the filter.
func New(c *config.ForwardProxy, deps filter.Deps) (filter.Filter, error) {
	return &forward{config: c, resolve: deps.Resolve}, nil
}

// Override implements filter.Overrider: routes only say which host is meant.
func (f *forward) Override(c any) (filter.Filter, error) {
	route, ok := c.(*config.ForwardProxyRoute)
	if !ok {
		return nil, errors.New("not a configuration of dynamic_forward_proxy for routes")
	}
	return &forward{f.config, *route, f.resolve}, nil
}

// Request waits for the host's addresses.
func (f *forward) Request(ctx context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	if x.Cluster == nil || x.Cluster.Kind != config.DynamicForward || x.Cluster.Cache.Name != f.config.Cache {
		return nil // of a cluster with another cache no host is known
	}
	f.rewrite(&x.Request)
	if tr.On() {
		tr.Note("filter", "dynamic_forward_proxy: waits for addresses of %q", x.Request.Authority)
		return nil
	}
	if x.Request.Authority == "" {
		return &filter.Reply{Status: 400, Body: "Empty host header", Details: "empty_host_header"}
	}
	return replyTo(f.resolve(ctx, x.ClusterName, x.Request.Authority))
}

// rewrite sets the host, for the look-up and for the upstream.
func (f *forward) rewrite(r *stream.Request) {
	if f.route.Literal != "" {
		r.Authority = f.route.Literal
	}
	if f.route.Header != "" {
		if host, there := r.Fields.Get(f.route.Header); there {
			r.Authority = host
		}
	}
}

func replyTo(err error) *filter.Reply {
	var failed *upstream.ResolveError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, upstream.ErrManyHosts):
		return &filter.Reply{Status: 503, Body: "DNS cache overflow", Details: "dns_cache_overflow"}
	case errors.Is(err, upstream.ErrManyWaiting):
		return &filter.Reply{Status: 503, Body: "Dynamic forward proxy pending request overflow", Details: "dynamic_forward_proxy_pending_request_overflow"}
	case errors.As(err, &failed):
		return &filter.Reply{
			Status: 503, Body: "DNS resolution failure", Flags: stream.DNSResolutionFailed,
			Details: "dns_resolution_failure{" + strings.ReplaceAll(reason(failed), " ", "_") + "}",
		}
	default: // the client has gone, or the request has taken too long
		return &filter.Reply{Status: 503, Body: "DNS resolution failure", Details: "dns_resolution_failure{cancelled}", Flags: stream.DNSResolutionFailed}
	}
}

// reason tells no more than that: the resolver's words have addresses of its servers.
func reason(e *upstream.ResolveError) string {
	switch {
	case e.Err == nil:
		return "no_host"
	case errors.Is(e.Err, context.DeadlineExceeded):
		return "resolve_timeout"
	default:
		return "resolution_failed"
	}
}
