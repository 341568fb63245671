package http

import (
	"errors"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// attempt sends the request to one host and passes its answer on, if it isn't one that asks for another attempt.
func (c *call) attempt() outcome {
	x, f := c.x, &c.forward
	if !f.replayed || f.host == nil {
		if got, ok := c.pick(); !ok {
			return got
		}
	}
	x.Attempts++
	f.tryBegun = max(1, time.Since(x.Start))
	route.CountAttempt(x, x.Attempts)
	if x.Span != nil {
		c.m.tracer.Attempt(x)
	}
	c.armTry()
	if got, ok := c.connect(); !ok {
		return got
	}
	if x.Request.Upgrade != "" {
		c.upgradeRequest()
	}
	if err := c.request.sendTo(c, f.stream); err != nil {
		if got, early := c.earlyAnswer(err); !early {
			return got
		}
	}
	if x.LastUpstreamTx == 0 {
		x.LastUpstreamTx = time.Since(x.Start)
	}
	return c.answer()
}

// pick chooses the host.
func (c *call) pick() (outcome, bool) {
	x, f := c.x, &c.forward
	host, err := f.target.cluster.Pick(&f.choice, nil)
	if err != nil {
		reply := noHost
		switch {
		case errors.Is(err, upstream.ErrDropped):
			reply = c.dropped()
		case errors.Is(err, upstream.ErrNotBound):
			reply = c.notBound()
		}
		return outcome{err: err, reply: reply, Outcome: route.Outcome{Why: codec.Overflow}}, false
	}
	f.host = host
	x.Upstream = stream.Upstream{Remote: host.Address, Endpoint: host.Endpoint()}
	if e := x.Upstream.Endpoint; e != nil {
		x.Upstream.Host = e.Hostname
		if x.Route.Forward.AutoHost {
			route.RewriteHost(x, e.Hostname)
		}
	}
	return outcome{}, true
}

// armTry starts per_try_timeout and per_try_idle_timeout.
func (c *call) armTry() {
	f := &c.forward
	c.timers.drop(tryDeadline)
	c.timers.drop(tryIdleDeadline)
	if f.times.PerTry > 0 {
		c.arm(tryDeadline, f.times.PerTry)
	}
	if p := f.retry.Policy; p != nil && p.PerTryIdle > 0 {
		c.arm(tryIdleDeadline, p.PerTryIdle)
	}
	if c.timers.at[tryDeadline].Load() != 0 || c.timers.at[tryIdleDeadline].Load() != 0 {
		c.watch.set(c.timers.next())
	}
}

// connect gets a stream to the host.
func (c *call) connect() (outcome, bool) {
	f := &c.forward
	up, err := c.open(f.host)
	if err != nil {
		return c.failedConnect(err), false
	}
	f.stream = up
	c.mu.Lock()
	c.up = up
	c.mu.Unlock()
	f.host.Active.Add(1)
	if c.timers.causes.Load() != 0 { // cut while nobody could be interrupted
		return outcome{Outcome: route.Outcome{Why: codec.Interrupted}}, false
	}
	return outcome{}, true
}

func (c *call) failedConnect(err error) outcome {
	c.x.Upstream.TransportFailure = transportFailure(err)
	got := outcome{err: err, Outcome: route.Outcome{Why: codec.ConnectFailure}}
	switch {
	case errors.Is(err, upstream.ErrOverflow):
		got.Why = codec.Overflow
	case upstream.Timeout(err):
		got.Why = codec.ConnectTimeout
	}
	got.TimedOut = c.timers.has(tryDeadline.cause())
	return got
}

func transportFailure(err error) string {
	var tls *upstream.TLSError
	if errors.As(err, &tls) {
		return tls.Error()
	}
	if errors.Is(err, upstream.ErrOverflow) || errors.Is(err, upstream.ErrSelfDial) {
		return ""
	}
	return "delayed connect error: " + lastError(err)
}

// lastError is the innermost error: what the system said.
func lastError(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// earlyAnswer is after writing to the upstream failed: it may have answered before it closed.
func (c *call) earlyAnswer(err error) (outcome, bool) {
	why := reasonOf(err)
	if why == codec.Termination && c.forward.stream.Written() {
		return outcome{}, true // reading will tell
	}
	return c.failed(err), false
}

// failed is an attempt that ended without an answer.
func (c *call) failed(err error) outcome {
	f := &c.forward
	why := reasonOf(err)
	got := outcome{err: err, Outcome: route.Outcome{Why: why, Started: f.stream.Written()}}
	tries := tryDeadline.cause() | tryIdleDeadline.cause()
	switch {
	case c.final():
	case c.timers.has(tries):
		got.TimedOut = true
		f.target.cluster.Stats.RqPerTryTimeout.Add(1)
		f.host.Result(upstream.TimedOut)
	default:
		f.host.Result(upstream.Reset)
		f.target.cluster.Stats.RqRxReset.Add(1)
	}
	return got
}

func reasonOf(err error) codec.Reason {
	var f *codec.Failure
	if errors.As(err, &f) {
		return f.Reason
	}
	return codec.Termination
}

// answer reads heads until the final one, and passes it on unless another attempt is wanted.
func (c *call) answer() outcome {
	x, f := c.x, &c.forward
	for {
		end, err := f.stream.ReadHead(&x.Response)
		if err != nil {
			x.Response.Status = 0
			return c.failed(err)
		}
		if x.FirstUpstreamRx == 0 {
			x.FirstUpstreamRx = time.Since(x.Start)
		}
		c.moved()
		if x.Response.Status < 200 && x.Response.Status != 101 {
			if err := c.informational(); err != nil {
				return c.failed(err)
			}
			continue
		}
		if x.Request.Upgrade != "" && !c.upgradeAnswer() {
			x.Response.Status = 0
			return c.failed(&codec.Failure{Reason: codec.Protocol, Details: "not the answer to an upgrade"})
		}
		return c.judge(end)
	}
}

// informational passes a 1xx on; 100 only to who asked for it and hasn't got it from this proxy.
func (c *call) informational() error {
	x := c.x
	var err error
	if x.Response.Status != 100 || c.request.passContinue {
		err = c.down.WriteHead(&x.Response, false)
	}
	x.Response.Fields.Clear()
	x.Response.Status = 0
	return err
}

// judge decides whether the answer is passed on or another attempt is made.
func (c *call) judge(end bool) outcome {
	x, f := c.x, &c.forward
	f.host.Result(upstream.StatusOutcome(x.Response.Status))
	if f.target.cluster.Checked() && admitsFailure(&x.Response.Fields) {
		f.host.FailNow()
	}
	c.timers.drop(tryDeadline)
	c.timers.drop(tryIdleDeadline)
	f.answerEnd = end
	if f.retry.On != 0 {
		got := outcome{Outcome: route.Outcome{Response: &x.Response}}
		if f.retry.Wants(got.Outcome) {
			return got
		}
		if f.retries > 0 {
			f.target.cluster.Stats.RqRetrySuccess.Add(1)
		}
	}
	c.passOn()
	return outcome{answered: true}
}

func admitsFailure(answer *stream.Fields) bool {
	_, there := answer.Get(upstream.FailNow)
	return there
}

// closeUpstream ends the present attempt's stream.
func (c *call) closeUpstream() {
	f := &c.forward
	if f.stream == nil {
		return
	}
	c.request.detach(f.stream)
	c.mu.Lock()
	c.up = nil
	c.mu.Unlock()
	f.stream.Close()
	f.stream = nil
	f.host.Active.Add(-1)
}
