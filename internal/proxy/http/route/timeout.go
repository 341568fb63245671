package route

import (
	"math"
	"strconv"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Timeouts are how long a request may take; 0 is no limit.
type Timeouts struct{ Route, PerTry time.Duration }

// TimeoutsOf returns the timeouts of x's request on its route, and takes the headers that change them out of it:
// x-envoy-upstream-rq-timeout-ms, x-envoy-upstream-rq-per-try-timeout-ms, grpc-timeout where the route lets it.
func TimeoutsOf(x *stream.Exchange) Timeouts {
	f := x.Route.Forward
	t := Timeouts{Route: f.Timeout}
	if policy := PolicyOf(x); policy != nil {
		t.PerTry = policy.PerTryTimeout
	}
	if x.GRPC && f.GRPCTimeoutMax != nil {
		t.Route = grpcLimit(f, x.Request.Fields.Value("grpc-timeout"))
	}
	takeMillis(&x.Request.Fields, "x-envoy-upstream-rq-timeout-ms", &t.Route)
	takeMillis(&x.Request.Fields, "x-envoy-upstream-rq-per-try-timeout-ms", &t.PerTry)
	if t.PerTry >= t.Route && t.Route != 0 {
		t.PerTry = 0
	}
	return t
}

// takeMillis reads a header in milliseconds into d and removes it. What isn't a number is ignored.
func takeMillis(fields *stream.Fields, name string, d *time.Duration) {
	value, there := fields.Get(name)
	if !there {
		return
	}
	if ms, err := strconv.ParseUint(value, 10, 64); err == nil {
		*d = time.Duration(min(ms, maxMillis)) * time.Millisecond
	}
	fields.Remove(name)
}

// maxMillis is the longest timeout, some 292 years: what a Duration holds.
const maxMillis = uint64(math.MaxInt64 / time.Millisecond)

// grpcLimit is grpc-timeout less the route's offset, at most what the route allows. None asked for is no limit.
func grpcLimit(f *config.Forward, header string) time.Duration {
	asked, _ := ParseGRPCTimeout(header)
	if f.GRPCTimeoutOff > 0 && f.GRPCTimeoutOff < asked { // an offset never makes the limit vanish
		asked -= f.GRPCTimeoutOff
	}
	most := *f.GRPCTimeoutMax
	if most != 0 && (asked == 0 || asked > most) {
		return most
	}
	return asked
}

// ParseGRPCTimeout reads grpc-timeout: up to eight digits and a unit of H M S m u n.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
func ParseGRPCTimeout(text string) (time.Duration, bool) {
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if err != nil {
		return 0, false
	}
	unit, ok := grpcUnits[text[len(text)-1]]
	if ok && n > uint64(math.MaxInt64/unit) {
		return math.MaxInt64, true
	}
	return time.Duration(n) * unit, ok
}

var grpcUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second,
	'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// FormatGRPCTimeout writes d as grpc-timeout in the finest unit that fits eight digits.
func FormatGRPCTimeout(d time.Duration) string {
	for _, unit := range [...]byte{'n', 'u', 'm', 'S', 'M'} {
		if n := d / grpcUnits[unit]; n < 100_000_000 {
			return strconv.FormatInt(int64(n), 10) + string(unit)
		}
	}
	return strconv.FormatInt(int64(d/time.Hour), 10) + "H"
}

// AnnounceTimeout tells the upstream how long it has: x-envoy-expected-rq-timeout-ms unless suppressed, and grpc-timeout
// where the route rules it. passed is the time since the request came.
func AnnounceTimeout(x *stream.Exchange, t Timeouts, passed time.Duration, suppress bool) {
	expected := t.PerTry
	if expected == 0 {
		expected = t.Route
	}
	if expected == 0 {
		return
	}
	if t.Route > 0 {
		expected = max(min(expected, t.Route-passed), time.Millisecond)
	}
	if !suppress {
		x.Request.Fields.Set("x-envoy-expected-rq-timeout-ms", strconv.FormatInt(expected.Milliseconds(), 10))
	}
	if x.GRPC && x.Route.Forward.GRPCTimeoutMax != nil {
		x.Request.Fields.Set("grpc-timeout", FormatGRPCTimeout(expected))
	}
}

// CountAttempt writes x-envoy-attempt-count if the virtual host wants it. Attempts count from 1.
func CountAttempt(x *stream.Exchange, attempt uint32) {
	if x.VirtualHost != nil && x.VirtualHost.AttemptCount {
		x.Request.Fields.Set("x-envoy-attempt-count", strconv.FormatUint(uint64(attempt), 10))
	}
}

// FinishResponse adds to an answer what the proxy says of it: x-envoy-upstream-service-time (took, if an upstream
// answered), x-envoy-attempt-count if the virtual host wants it, x-request-id if the manager does.
func FinishResponse(m *config.HTTPManager, x *stream.Exchange, took time.Duration) {
	fields := &x.Response.Fields
	if !x.Local && !m.Router.SuppressHeaders {
		fields.Set("x-envoy-upstream-service-time", strconv.FormatInt(took.Milliseconds(), 10))
	}
	if x.VirtualHost != nil && x.VirtualHost.AttemptCountOut && x.Attempts > 0 {
		fields.Set("x-envoy-attempt-count", strconv.FormatUint(uint64(x.Attempts), 10))
	}
	if id, there := x.Request.Fields.Get(requestID); there && m.ReturnRequestID {
		fields.Set(requestID, id)
	}
}

// ServerName sets the `server` field of an answer as the manager says.
func ServerName(m *config.HTTPManager, x *stream.Exchange) {
	name := m.ServerName
	if name == "" {
		name = "envoy"
	}
	_, there := x.Response.Fields.Get("server")
	switch {
	case m.ServerHeader == config.ServerPassThrough, m.ServerHeader == config.ServerAppendIfAbsent && there:
	default:
		x.Response.Fields.Set("server", name)
	}
}
