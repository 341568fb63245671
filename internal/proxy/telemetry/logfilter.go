package telemetry

import (
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/proxy/cel"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// filter decides which exchanges are logged. A nil filter takes all.
type filter struct {
	config *config.LogFilter
	logs   *Logs
	flags  stream.Flags // of LogFlags; 0: any
	inner  []*filter
	cel    *cel.Expression // of LogExpression; nil: it doesn't compile, and takes nothing
}

func (l *Logs) compileFilter(c *config.LogFilter) *filter {
	if c == nil {
		return nil
	}
	f := &filter{config: c, logs: l}
	for _, name := range c.Flags {
		f.flags |= stream.FlagNamed(name)
	}
	if c.Kind == config.LogExpression {
		f.cel, _ = cel.Compile(c.Expression) // it was refused when it was decoded
	}
	for _, inner := range c.Filters {
		f.inner = append(f.inner, l.compileFilter(inner))
	}
	return f
}

func (f *filter) takes(x *stream.Exchange) bool {
	if f == nil {
		return true
	}
	switch c := f.config; c.Kind {
	case config.LogStatus:
		return compare(c.Op, uint64(x.Response.Status), f.threshold())
	case config.LogDuration:
		return compare(c.Op, milliseconds(x.End), f.threshold())
	case config.LogNotHealthCheck:
		return !isHealthCheck(x)
	case config.LogTraceable:
		return x.Traced
	case config.LogRuntime:
		return f.sampled()
	case config.LogAnd:
		return !slices.ContainsFunc(f.inner, func(i *filter) bool { return !i.takes(x) })
	case config.LogOr:
		return slices.ContainsFunc(f.inner, func(i *filter) bool { return i.takes(x) })
	case config.LogHeader:
		return headerMatches(c.Header, &x.Request)
	case config.LogFlags:
		set := x.Flags | x.Conn.Flags
		return set&f.flags != 0 || len(c.Flags) == 0 && set != 0
	case config.LogGRPC:
		return slices.Contains(c.Statuses, grpcOf(x)) != c.Exclude
	case config.LogExpression:
		return f.cel != nil && f.cel.Match(x)
	default:
		return false
	}
}

func compare(op config.CompareOp, a, b uint64) bool {
	switch op {
	case config.GreaterOrEqual:
		return a >= b
	case config.LessOrEqual:
		return a <= b
	case config.NotEqual:
		return a != b
	default:
		return a == b
	}
}

func (f *filter) threshold() uint64 { return uint64(f.config.Value) }

// isHealthCheck knows a check by the mark of Envoy's health checkers, or of our filter.
func isHealthCheck(x *stream.Exchange) bool {
	_, marked := x.Request.Fields.Get("x-envoy-hc")
	return marked || x.HealthCheck
}

// million is the scale of fractions.
const million = 1_000_000

func (f *filter) sampled() bool {
	perMillion := uint32(million)
	if fraction := f.config.Fraction; fraction != nil {
		perMillion = fraction.PerMillion
		if f.logs.opts.Runtime != nil && fraction.Key != "" {
			perMillion = f.logs.opts.Runtime(fraction.Key, perMillion)
		}
	}
	return f.logs.random()%million < uint64(perMillion)
}

func (l *Logs) random() uint64 {
	if l.opts.Random != nil {
		return l.opts.Random()
	}
	return rand.Uint64() //nolint:gosec // a sample, not a secret
}

// grpcOf is the gRPC status of an answer; one without is judged by its HTTP status.
func grpcOf(x *stream.Exchange) uint32 {
	if x.GRPCStatus >= 0 {
		return uint32(x.GRPCStatus)
	}
	switch x.Response.Status {
	case 200:
		return 0
	case 400:
		return 13
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 12
	case 429, 502, 503, 504:
		return 14
	default:
		return 2
	}
}

// headerMatches is a HeaderMatcher over a request's head.
func headerMatches(m *config.HeaderMatch, r *stream.Request) bool {
	value, there := r.Header(m.Name)
	if !there {
		if joined, ok := r.Fields.Joined(m.Name); ok {
			value, there = joined, true
		}
	}
	switch {
	case m.Present != nil:
		return (there == *m.Present) != m.Invert
	case !there && !m.MissingIsEmpty:
		return false // what isn't there has no value to compare, inverted or not
	case m.Value != nil:
		return m.Value.Match(value) != m.Invert
	case m.Range != nil:
		n, err := strconv.ParseInt(value, 10, 64)
		return (err == nil && n >= m.Range.Start && n < m.Range.End) != m.Invert
	default:
		return !m.Invert
	}
}

// Takes compiles a filter for others than access logs: local_reply_config chooses by it. nil takes everything.
func (l *Logs) Takes(c *config.LogFilter) func(*stream.Exchange) bool {
	return l.compileFilter(c).takes
}
