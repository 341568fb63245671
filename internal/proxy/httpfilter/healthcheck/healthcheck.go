// Package healthcheck answers health checks in place of the upstream: by what this proxy knows of its own health and of
// clusters', or by an upstream's answer of a moment ago. Read Request first.
package healthcheck

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

type check struct {
	config *config.HealthCheckFilter
	deps   filter.Deps
	last   atomic.Pointer[cached]
}

// cached is an upstream's answer.
type cached struct {
	status   int
	degraded bool
	until    time.Time
}

// Names of the fields by which proxies tell each other of health.
const (
	checkedCluster = "x-envoy-upstream-healthchecked-cluster"
	failNow        = "x-envoy-immediate-health-check-fail"
	degraded       = "x-envoy-degraded"
)

// New returns the filter.
func New(c *config.HealthCheckFilter, d filter.Deps) (filter.Filter, error) {
	return &check{config: c, deps: d.WithDefaults()}, nil
}

// Request answers health checks: 503 if this proxy is to fail them, else what was cached, or what clusters' health says.
// A check that is passed through goes on while nothing is cached.
func (f *check) Request(_ context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	if !f.takes(x) {
		return nil
	}
	if tr.On() {
		tr.Note("filter", "health_check: it is one")
		return nil
	}
	x.HealthCheck = true
	if x.Span != nil {
		x.Span.Sampled = false
	}
	if f.deps.Unhealthy() {
		return answer(503, "health_check_failed")
	}
	if f.config.PassThrough {
		return f.kept()
	}
	return f.clusters()
}

// takes reports whether a request is a health check.
func (f *check) takes(x *stream.Exchange) bool {
	for i := range f.config.Headers {
		if !f.config.Headers[i].Match(x.Request.Joined(f.config.Headers[i].Name)) {
			return false
		}
	}
	return true
}

// answer is one of this filter's own, which begin alike.
func answer(status int, details string) *filter.Reply {
	reply := &filter.Reply{Status: status, Details: details}
	if status < 200 || status > 299 {
		reply.Flags = stream.FailedLocalHealthCheck
	}
	return reply
}

// kept is the upstream's answer of a moment ago; nil: it must be asked.
func (f *check) kept() *filter.Reply {
	last := f.last.Load()
	if last == nil || !f.deps.Now().Before(last.until) {
		return nil
	}
	reply := answer(last.status, "health_check_cached")
	if last.degraded {
		reply.Fields = []stream.Field{{Name: degraded}}
	}
	return reply
}

// clusters looks at each cluster that is asked for.
func (f *check) clusters() *filter.Reply {
	for i := range f.config.Clusters {
		if details := f.missing(&f.config.Clusters[i]); details != "" {
			return answer(503, details)
		}
	}
	if len(f.config.Clusters) > 0 {
		return answer(200, "health_check_ok_cluster_healthy")
	}
	return answer(200, "health_check_ok")
}

// missing says why a cluster hasn't enough hosts in health; empty: it has.
func (f *check) missing(want *config.ClusterHealth) string {
	total, well, there := f.deps.Members(want.Name)
	switch {
	case !there:
		return "health_check_failed_no_cluster_found"
	case total == 0 && want.Percent > 0:
		return "health_check_failed_cluster_empty"
	case 100*well < total*int64(want.Percent):
		return "health_check_failed_cluster_unhealthy"
	}
	return ""
}

// Response says of answers to checks where they were made, and of others whether this proxy fails its own. What an
// upstream said of its health is kept.
func (f *check) Response(x *stream.Exchange) {
	if !x.HealthCheck {
		if f.deps.Unhealthy() {
			x.Response.Fields.Set(failNow, "true")
		}
		return
	}
	if own := x.Local && strings.HasPrefix(x.Details, "health_check_"); f.config.PassThrough && f.config.CacheTime > 0 && !own {
		_, worse := x.Response.Fields.Get(degraded)
		f.last.Store(&cached{x.Response.Status, worse, f.deps.Now().Add(f.config.CacheTime)})
	}
	x.Response.Fields.Set(checkedCluster, f.deps.Self.Service)
}
