package http

import (
	"errors"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// forward is what sending a request to an upstream needs.
type forward struct {
	target    *target
	priority  upstream.Priority
	choice    upstream.Choice
	retry     route.Retry
	times     route.Timeouts
	cookies   []string // of hash policies, for the answer
	host      *upstream.Host
	stream    codec.Upstream // of the present attempt
	reused    bool           // its connection was used before
	replayed  bool
	retries   uint32
	tryBegun  time.Duration // since the request's start, of an attempt that upstream_log doesn't have yet; 0: none
	tried     []*upstream.Host
	previous  upstream.Previous // of retry_priority
	authority string            // the request's before the route changed it
	// answerEnd: the answer's head is all of it.
	answerEnd bool
	// webSocketKey is what was made up for an upstream of HTTP/1.1; empty: the client has sent one, or none is needed.
	webSocketKey string
}

// send routes the request to its cluster and answers it from there.
func (c *call) send() *Reply {
	x, f := c.x, &c.forward
	*f = forward{tried: f.tried[:0]}
	to := x.Route.Forward
	f.target = c.target(x.ClusterName)
	if f.target == nil {
		return c.noCluster(to)
	}
	x.Cluster = f.target.cluster.Config()
	if to.HighPriority {
		f.priority = upstream.HighPriority
	}
	c.plan(to)
	if !f.target.cluster.TryRequest(f.priority) {
		return resetReply(codec.Overflow, "", false)
	}
	defer f.target.cluster.DoneRequest(f.priority)
	f.target.stats.RqTotal.Add(1)
	f.target.stats.RqActive.Add(1)
	defer f.target.stats.RqActive.Add(-1)
	if reply := c.request.begin(c); reply != nil {
		return reply
	}
	if c.request.finished.Load() {
		c.armRoute(f.times.Route)
	}
	c.mirror()
	return c.attempts()
}

func (c *call) noCluster(to *config.Forward) *Reply {
	c.m.stats.NoCluster.Add(1)
	status := int(to.NotFoundCode)
	if status == 0 {
		status = 503
	}
	return &Reply{Status: status, Details: "cluster_not_found", Flags: stream.NoClusterFound}
}

// plan finds out what all attempts have in common, and gives the request the head it goes out with.
func (c *call) plan(to *config.Forward) {
	x, f := c.x, &c.forward
	f.times = route.TimeoutsOf(x)
	f.retry = route.RetryOf(x)
	f.choice = upstream.Choice{
		Client: c.conn.Remote, Name: x.Request.Authority, Subset: to.SubsetMatch, HighPriority: to.HighPriority,
		OriginalDst: f.target.cluster.OriginalDst(c.conn.Local, x.Request.Fields.Get),
	}
	if x.Weighted != nil && x.Weighted.SubsetMatch != nil {
		f.choice.Subset = x.Weighted.SubsetMatch
	}
	if len(x.Sessions) > 0 {
		session := x.Session()
		f.choice.Override = upstream.Override{Host: session.Host, Strict: session.Strict}
	}
	if len(to.Hash) > 0 {
		hashed := route.Hash(x, to.Hash)
		f.choice.Hash, f.choice.Hashed, f.cookies = hashed.Value, hashed.Any, hashed.Cookies
	}
	if p := f.retry.Policy; p != nil {
		f.choice.Attempts, f.choice.OmitCanary = p.HostAttempts, p.OmitCanary
	}
	suppress := c.m.cfg.Router.SuppressHeaders
	f.authority = x.Request.Authority
	c.routes.RequestHeaders(x)
	route.Rewrite(x, suppress)
	route.AnnounceTimeout(x, f.times, time.Since(x.Start), suppress)
}

// armRoute starts the route's timeout, which counts from the end of the request.
func (c *call) armRoute(after time.Duration) {
	if after <= 0 {
		return
	}
	c.arm(routeDeadline, after)
	c.watch.set(c.timers.next())
}

// attempts sends the request until it is answered or nothing is left to try.
func (c *call) attempts() *Reply {
	for {
		got := c.attempt()
		if got.answered {
			c.logTry(&got)
			return nil
		}
		if c.x.Span != nil {
			c.m.tracer.Failed(c.x)
		}
		if c.replay(&got) || c.again(&got) {
			continue
		}
		reply := c.giveUp(&got)
		c.logTry(&got)
		return reply
	}
}

// outcome is how an attempt ended before an answer was passed on.
type outcome struct {
	answered bool // it was: nothing is left to do
	route.Outcome
	err   error
	reply *Reply // what the client gets if there is no other attempt; nil: Why says
}

// again reports whether another attempt is to be made, after it has waited for its time.
func (c *call) again(got *outcome) bool {
	f := &c.forward
	if c.final() || !f.retry.Wants(got.Outcome) || !c.request.whole() {
		return false
	}
	stats := f.target.cluster.Stats
	if f.retry.Left == 0 {
		if f.retries > 0 || f.retry.Policy != nil {
			stats.RqRetryLimitExceeded.Add(1)
			c.x.Flags |= stream.UpstreamRetryLimitExceeded
		}
		return false
	}
	if !f.target.cluster.TryRetry(f.priority) {
		c.x.Flags |= stream.UpstreamRetryLimitExceeded
		return false
	}
	defer f.target.cluster.DoneRetry(f.priority)
	f.retry.Left--
	f.retries++
	f.choice.Override = upstream.Override{} // as Envoy does: a retry looks for any host
	stats.RqRetry.Add(1)
	wait := f.retry.BackOff(f.retries, got.Outcome, c.engine.opts.Random())
	c.logTry(got)
	c.closeUpstream()
	c.avoid()
	c.x.Response.Fields.Clear()
	c.x.ResponseTrailers.Clear()
	c.x.Response.Status = 0
	c.sleep(wait)
	return !c.final()
}

// avoid keeps the next attempt from where the others have been, as far as the policy wants that.
func (c *call) avoid() {
	f := &c.forward
	p := f.retry.Policy
	if p == nil || f.host == nil {
		return
	}
	if p.PreviousHosts {
		f.tried = append(f.tried, f.host)
		f.choice.Tried = f.tried
	}
	if p.PreviousPriorities > 0 {
		f.previous.Every = p.PreviousPriorities
		f.previous.Attempted(f.host)
		f.choice.Previous = &f.previous
	}
}

// final reports whether the call was cut for good: only a try's own deadlines leave room for another one.
func (c *call) final() bool {
	return c.timers.has(^(tryDeadline.cause() | tryIdleDeadline.cause()))
}

// replay reports whether the request goes out once more because its connection, which had been idle, was closed by the
// host as the request came: the host hasn't seen it, or may see it twice. It goes to the same host on a new connection.
func (c *call) replay(got *outcome) bool {
	f := &c.forward
	if f.replayed || got.Response != nil || got.reply != nil || f.stream == nil || c.timers.causes.Load() != 0 || !c.request.whole() {
		return false
	}
	unseen := got.Why == codec.RefusedStream
	lost := got.Why == codec.Termination && f.reused && !f.stream.Answered()
	if !unseen && !(lost && (!f.stream.Written() || repeatable(c.x.Request.Method))) {
		return false
	}
	f.replayed = true
	f.target.cluster.Stats.RqReplayed.Add(1)
	c.closeUpstream()
	return true
}

// repeatable methods change nothing when they come twice (RFC 9110 9.2.2).
func repeatable(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// giveUp is the answer to a request that no attempt could have answered.
func (c *call) giveUp(got *outcome) *Reply {
	f := &c.forward
	if got.Response != nil { // it was wanted again, and can't be
		return c.passOn()
	}
	if c.timers.causes.Load() != 0 {
		return c.cutReply()
	}
	if got.reply != nil {
		return got.reply
	}
	reply := resetReply(got.Why, c.x.Upstream.TransportFailure, f.retries > 0)
	if errors.Is(got.err, upstream.ErrSelfDial) {
		reply = &Reply{Status: 503, Details: "cluster_not_found", Flags: stream.NoClusterFound}
	}
	if got.Why == codec.RemoteCancel && c.outOfTime() {
		reply.GRPCStatus = grpcDeadlineExceeded
	}
	return reply
}

// outOfTime reports whether the time is over that the client gave the call, grpc-timeout: then the upstream cancels it,
// and the client may hear of that before it looks at its own clock.
func (c *call) outOfTime() bool {
	limit, given := route.ParseGRPCTimeout(c.x.Request.Fields.Value("grpc-timeout"))
	return given && time.Since(c.x.Start) >= limit
}

// end gives back what the request holds: only now nobody looks at its answer's fields any more.
func (f *forward) end(c *call) {
	c.closeUpstream()
	f.target, f.host, f.previous = nil, nil, upstream.Previous{}
	clear(f.tried)
}
