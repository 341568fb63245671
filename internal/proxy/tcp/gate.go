package tcp

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/rbac"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// gate is a network filter that lets a connection in or not, before anything is dialled for it.
type gate interface {
	// enter returns nil to let the connection in; then leave is called when it ends.
	enter(c *stream.Conn) *refusal
	leave()
}

// refusal is why a connection isn't let in.
type refusal struct {
	details string
	flags   stream.Flags
	delay   time.Duration // before it is closed
}

// newGate returns the gate of a filter. One that nobody knows lets nobody in: decoders refuse it before.
func (p *Proxy) newGate(c any) gate {
	switch c := c.(type) {
	case *config.ConnectionLimit:
		return &connectionLimit{
			limit: int64(min(c.Max, 1<<62)), delay: c.Delay,
			active:  p.Store.Gauge("connection_limit." + c.StatPrefix + ".active_connections"),
			limited: p.Store.Counter("connection_limit." + c.StatPrefix + ".limited_connections"),
		}
	case *config.LocalRateLimit:
		return &rateLimit{bucket: newBucket(c.Bucket, p.Now), limited: p.Store.Counter("local_rate_limit." + c.StatPrefix + ".rate_limited")}
	case *config.ExtAuthz:
		return p.newAuthorize(c)
	case *config.RBAC:
		return newRBAC(p.Store, c)
	}
	return closed{fmt.Sprintf("network filter %T isn't built", c)}
}

// closed lets nobody in.
type closed struct{ details string }

func (g closed) enter(*stream.Conn) *refusal { return &refusal{details: g.details} }
func (closed) leave()                        {}

// rules is envoy.filters.network.rbac. Envoy asks with the client's first byte; here nothing is dialled before.
type rules struct {
	config                      *config.RBAC
	allowed, denied             *telemetry.Counter
	shadowAllowed, shadowDenied *telemetry.Counter
}

func newRBAC(store *telemetry.Store, c *config.RBAC) *rules {
	prefix := c.StatPrefix + "rbac."
	shadow := prefix + c.ShadowPrefix + "shadow_"
	return &rules{c, store.Counter(prefix + "allowed"), store.Counter(prefix + "denied"), store.Counter(shadow + "allowed"), store.Counter(shadow + "denied")}
}

func (g *rules) enter(c *stream.Conn) *refusal {
	if g.config.Shadow != nil {
		if rbac.Shadow(g.config, c, nil).Allowed {
			g.shadowAllowed.Add(1)
		} else {
			g.shadowDenied.Add(1)
		}
	}
	if g.config.Rules == nil {
		return nil
	}
	allowed, details := rbac.Connection(g.config, c, nil)
	if !allowed {
		g.denied.Add(1)
		return &refusal{details: details}
	}
	g.allowed.Add(1)
	return nil
}
func (*rules) leave() {}

// connectionLimit is envoy.filters.network.connection_limit: so many at once.
type connectionLimit struct {
	limit   int64
	delay   time.Duration
	now     atomic.Int64
	active  *telemetry.Gauge
	limited *telemetry.Counter
}

func (g *connectionLimit) enter(*stream.Conn) *refusal {
	if g.now.Add(1) > g.limit {
		g.now.Add(-1)
		g.limited.Add(1)
		return &refusal{details: "connection_limit", delay: g.delay}
	}
	g.active.Add(1)
	return nil
}

func (g *connectionLimit) leave() {
	g.now.Add(-1)
	g.active.Add(-1)
}

// rateLimit is envoy.filters.network.local_ratelimit: so many in a time.
type rateLimit struct {
	bucket  *bucket
	limited *telemetry.Counter
}

func (g *rateLimit) enter(*stream.Conn) *refusal {
	if g.bucket.take() {
		return nil
	}
	g.limited.Add(1)
	return &refusal{details: "local_ratelimit_close_over_limit", flags: stream.RateLimited}
}
func (*rateLimit) leave() {}

// bucket is a token bucket, full at first.
type bucket struct {
	config.TokenBucket
	now func() time.Time

	mu     sync.Mutex
	tokens uint64
	filled time.Time // when tokens was last brought up to date, on an interval's border
}

func newBucket(c config.TokenBucket, now func() time.Time) *bucket {
	return &bucket{TokenBucket: c, now: now, tokens: uint64(c.Max), filled: now()}
}

// take takes a token and reports whether there was one.
func (b *bucket) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}

// fill adds the tokens of the whole intervals that have passed.
func (b *bucket) fill() {
	if b.Interval <= 0 {
		return
	}
	intervals := b.now().Sub(b.filled) / b.Interval
	if intervals <= 0 {
		return
	}
	b.filled = b.filled.Add(intervals * b.Interval)
	tokens := b.tokens + uint64(max(b.PerFill, 1))*uint64(min(intervals, 1<<31))
	b.tokens = min(tokens, uint64(b.Max))
}
