// Package localratelimit limits requests by token buckets of this process or of a connection. Read Request first;
// bucket.go is a bucket, descriptor.go says which buckets a request takes from.
package localratelimit

import (
	"context"
	"strconv"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/descriptor"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

type limit struct {
	config                         *config.LocalRateLimit
	deps                           filter.Deps
	source                         descriptor.Source
	process                        *buckets
	onRequest, onResponse          *route.Ops
	enabled, limited, enforced, ok func()
}

// buckets are one set of them: of the process, or of a connection.
type buckets struct {
	all         *Bucket
	descriptors []*Bucket // as in the configuration
}

// New returns the filter.
func New(c *config.LocalRateLimit, d filter.Deps) (filter.Filter, error) {
	d = d.WithDefaults()
	counter := func(name string) func() { return d.Counter(c.StatPrefix + ".http_local_rate_limit." + name) }
	f := &limit{
		config: c, deps: d,
		source:     descriptor.Source{Own: c.RateLimits, Stage: c.Stage, VirtualHost: c.VirtualHost, Service: d.Self.Service},
		onRequest:  route.CompileOps(&config.HeaderOps{Add: c.RequestHeaders}),
		onResponse: route.CompileOps(&config.HeaderOps{Add: c.ResponseHeaders}),
		enabled:    counter("enabled"), limited: counter("rate_limited"), enforced: counter("enforced"), ok: counter("ok"),
	}
	f.process = f.newBuckets()
	return f, nil
}

func (f *limit) newBuckets() *buckets {
	now := f.deps.Now()
	b := &buckets{all: NewBucket(f.config.Bucket, now)}
	for i := range f.config.Descriptors {
		b.descriptors = append(b.descriptors, NewBucket(f.config.Descriptors[i].Bucket, now))
	}
	return b
}

// buckets are those x takes from.
func (f *limit) buckets(x *stream.Exchange) *buckets {
	if !f.config.PerConnection {
		return f.process
	}
	if kept, ok := x.Conn.Kept.Load(f); ok {
		return kept.(*buckets)
	}
	kept, _ := x.Conn.Kept.LoadOrStore(f, f.newBuckets())
	return kept.(*buckets)
}

// Request answers 429 if a bucket x takes from is empty and the limit is enforced.
func (f *limit) Request(_ context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	if tr.On() {
		left, _ := f.buckets(x).all.State(f.deps.Now())
		tr.Note("filter", "local_ratelimit: %d of %d tokens are left", left, f.config.Bucket.Max)
		return nil
	}
	if f.config.Bucket.Max == 0 || !f.deps.Takes(f.config.Enabled) {
		return nil
	}
	f.enabled()
	if f.take(x) {
		f.ok()
		return nil
	}
	f.limited()
	if !f.deps.Takes(f.config.Enforced) {
		f.onRequest.ApplyRequest(x)
		return nil
	}
	f.enforced()
	return f.refuse(x)
}

// take takes from the buckets of all descriptors x has, then from the common one, unless that is only for who has none.
func (f *limit) take(x *stream.Exchange) bool {
	b, now := f.buckets(x), f.deps.Now()
	own := f.descriptors(x)
	for _, i := range own {
		if !b.descriptors[i].Take(now) {
			return false
		}
	}
	return f.config.OnlyDescriptors && len(own) > 0 || b.all.Take(now)
}

func (f *limit) refuse(x *stream.Exchange) *filter.Reply {
	reply := &filter.Reply{
		Status: 429, Body: "local_rate_limited", Details: "local_rate_limited", Flags: stream.RateLimited,
	}
	if f.config.Status != 0 {
		reply.Status = int(f.config.Status)
	}
	if f.config.AsResource {
		reply.GRPCStatus = 8
	}
	var fields stream.Fields
	f.onResponse.Apply(&fields, x)
	for i := range fields.Len() {
		reply.Fields = append(reply.Fields, fields.At(i))
	}
	return reply
}

// Response tells the client how much is left, if configured.
func (f *limit) Response(x *stream.Exchange) {
	if !f.config.RateHeaders || f.config.Bucket.Max == 0 {
		return
	}
	left, reset := f.buckets(x).all.State(f.deps.Now())
	fields := &x.Response.Fields
	fields.Set("x-ratelimit-limit", strconv.FormatUint(uint64(f.config.Bucket.Max), 10))
	fields.Set("x-ratelimit-remaining", strconv.FormatUint(uint64(left), 10))
	fields.Set("x-ratelimit-reset", strconv.FormatInt(int64((reset+time.Second-1)/time.Second), 10))
}
