// Package fault delays and aborts requests on purpose. Read Request first; amount.go says how headers change what the
// configuration has.
package fault

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

type fault struct {
	config          *config.Fault
	deps            filter.Deps
	active          atomic.Int64 // delays that last, aborts being made, answers that are slow
	shown           func(delta int64)
	delays, aborts  func()
	rates, overflow func()
	hasDelay, hasAb bool
	hasRate         bool
}

// New returns the filter.
func New(c *config.Fault, d filter.Deps) (filter.Filter, error) {
	d = d.WithDefaults()
	return &fault{
		config: c, deps: d,
		delays: d.Counter("fault.delays_injected"), aborts: d.Counter("fault.aborts_injected"),
		rates: d.Counter("fault.response_rl_injected"), overflow: d.Counter("fault.faults_overflow"), shown: d.Gauge("fault.active_faults"),
		hasDelay: c.Delay > 0 || c.DelayHeader,
		hasAb:    c.AbortHTTP != 0 || c.AbortGRPC != nil || c.AbortHeader,
		hasRate:  c.RateKBps != 0 || c.RateHeader,
	}, nil
}

// Request has the answer be slow, delays the request, then answers it, all by chance. A client that goes away while it
// waits is not answered: its ctx has ended, and the engine knows.
func (f *fault) Request(ctx context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	if !f.hasDelay && !f.hasAb && !f.hasRate || !f.concerns(x) {
		return nil
	}
	if tr.On() {
		f.explain(x, tr)
		return nil
	}
	if rate := f.rate(x); rate > 0 && x.Throttle == nil && f.begin() {
		f.rates()
		x.Throttle = &stream.Throttle{Rate: rate, End: f.end}
	}
	if d := f.delay(x); d > 0 && f.begin() {
		x.Flags |= stream.DelayInjected
		f.delays()
		err := f.deps.Sleep(ctx, d)
		f.end()
		if err != nil {
			return nil
		}
	}
	status, grpc := f.abort(x)
	if status == 0 || !f.begin() {
		return nil
	}
	defer f.end()
	f.aborts()
	return &filter.Reply{
		Status: status, GRPCStatus: grpc, Body: "fault filter abort", Details: "fault_filter_abort", Flags: stream.FaultInjected,
	}
}

// begin reports whether one more fault may be active.
func (f *fault) begin() bool {
	n := f.active.Add(1)
	if f.config.MaxActive == nil || n <= int64(*f.config.MaxActive) {
		f.shown(1)
		return true
	}
	f.active.Add(-1)
	f.overflow()
	return false
}

// end is after begin, when the fault is over.
func (f *fault) end() {
	f.active.Add(-1)
	f.shown(-1)
}

// concerns reports whether the fault is meant for x.
func (f *fault) concerns(x *stream.Exchange) bool {
	c := f.config
	if c.UpstreamCluster != "" && c.UpstreamCluster != x.ClusterName {
		return false
	}
	if len(c.DownstreamNodes) > 0 && !slices.Contains(c.DownstreamNodes, x.Request.Fields.Value("x-envoy-downstream-service-node")) {
		return false
	}
	for i := range c.Headers {
		if !c.Headers[i].Match(x.Request.Joined(c.Headers[i].Name)) {
			return false
		}
	}
	return true
}

func (f *fault) explain(x *stream.Exchange, tr *stream.Trace) {
	if d, part := f.delayAmount(x); d > 0 && part > 0 {
		tr.Note("filter", "fault: delays %d of a million requests by %s", part, d)
	}
	if rate, part := f.rateAmount(x); rate > 0 && part > 0 {
		tr.Note("filter", "fault: gives %d of a million answers %d bytes a second", part, rate)
	}
	if status, _, part := f.abortAmount(x); status != 0 && part > 0 {
		tr.Note("filter", "fault: answers %d of a million requests with %d", part, status)
	}
}
