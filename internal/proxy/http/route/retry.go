package route

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Retry is when and how often a request is tried again: its route's policy with what its own headers add.
type Retry struct {
	Policy *config.RetryPolicy // nil: only headers ask
	On     config.RetryOn      // 0: never
	Left   uint32              // retries that may still be made

	codes   []uint32
	headers []string // x-envoy-retriable-header-names
}

// PolicyOf is the retry policy of x's route, else of its virtual host, or nil.
func PolicyOf(x *stream.Exchange) *config.RetryPolicy {
	if x.Route != nil && x.Route.Forward != nil && x.Route.Forward.Retry != nil {
		return x.Route.Forward.Retry
	}
	if x.VirtualHost != nil {
		return x.VirtualHost.Retry
	}
	return nil
}

// RetryOf returns how x's request is retried and takes the headers that say so out of it.
func RetryOf(x *stream.Exchange) Retry {
	r := Retry{Policy: PolicyOf(x)}
	if r.Policy != nil {
		r.On, r.Left = r.Policy.On, r.Policy.Retries
	}
	r.readHeaders(x)
	if r.Policy != nil && len(r.Policy.RequestHeaders) > 0 && !anyHeader(r.Policy.RequestHeaders, x.Request.Joined) {
		r.On = 0
	}
	return r
}

func (r *Retry) readHeaders(x *stream.Exchange) {
	fields := &x.Request.Fields
	asked := false
	if value, there := take(fields, "x-envoy-retry-on"); there {
		r.On |= ParseRetryOn(value)
		asked = true
	}
	if value, there := take(fields, "x-envoy-retry-grpc-on"); there {
		r.On |= ParseRetryOn(value) & retryGRPC
		asked = true
	}
	if r.Left == 0 && r.Policy == nil && asked {
		r.Left = 1
	}
	if value, there := take(fields, "x-envoy-max-retries"); there && r.On != 0 {
		if n, err := strconv.ParseUint(value, 10, 32); err == nil {
			r.Left = uint32(n)
		}
	}
	if value, there := take(fields, "x-envoy-retriable-status-codes"); there {
		r.codes = parseCodes(value)
	}
	if value, there := take(fields, "x-envoy-retriable-header-names"); there {
		r.headers = splitList(strings.ToLower(value))
	}
	fields.Remove("x-envoy-hedge-on-per-try-timeout")
}

func take(fields *stream.Fields, name string) (string, bool) {
	value, there := fields.Get(name)
	if there {
		fields.Remove(name)
	}
	return value, there
}

func splitList(text string) []string {
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

func parseCodes(text string) (codes []uint32) {
	for _, part := range splitList(text) {
		if n, err := strconv.ParseUint(part, 10, 32); err == nil {
			codes = append(codes, uint32(n))
		}
	}
	return codes
}

var retryNames = map[string]config.RetryOn{
	"5xx": config.Retry5xx, "gateway-error": config.RetryGatewayError, "reset": config.RetryReset,
	"reset-before-request": config.RetryResetBeforeRequest, "connect-failure": config.RetryConnectFailure,
	"envoy-ratelimited": config.RetryEnvoyRateLimited, "retriable-4xx": config.Retry4xx,
	"refused-stream": config.RetryRefusedStream, "retriable-status-codes": config.RetryStatusCodes,
	"retriable-headers": config.RetryHeaders, "cancelled": config.RetryGRPCCancelled,
	"deadline-exceeded": config.RetryGRPCDeadlineExceeded, "internal": config.RetryGRPCInternal,
	"resource-exhausted": config.RetryGRPCResourceExhausted, "unavailable": config.RetryGRPCUnavailable,
}

const retryGRPC = config.RetryGRPCCancelled | config.RetryGRPCDeadlineExceeded | config.RetryGRPCInternal |
	config.RetryGRPCResourceExhausted | config.RetryGRPCUnavailable

// ParseRetryOn reads a comma-separated list of conditions. Unknown ones are ignored, as Envoy does.
func ParseRetryOn(list string) (on config.RetryOn) {
	for list != "" {
		var name string
		name, list, _ = strings.Cut(list, ",")
		on |= retryNames[strings.TrimSpace(name)]
	}
	return on
}

// Outcome is how an attempt ended: with a response's head, or with a failure before it.
type Outcome struct {
	Response *stream.Response // nil: it failed
	Why      codec.Reason
	TimedOut bool // per_try_timeout; Why is then of no matter
	Started  bool // some of the request had gone out
}

// Wants reports whether the conditions ask for another attempt after this outcome. Whether one may be made (Left,
// breakers, a body that is still whole) is the caller's to know.
func (r *Retry) Wants(o Outcome) bool {
	if r.On == 0 {
		return false
	}
	if o.Response != nil {
		return r.wantsResponse(o.Response)
	}
	return r.wantsFailure(o)
}

func (r *Retry) wantsResponse(response *stream.Response) bool {
	if _, limited := response.Fields.Get("x-envoy-ratelimited"); limited {
		return r.has(config.RetryEnvoyRateLimited)
	}
	status := uint32(response.Status)
	switch {
	case r.has(config.Retry5xx) && status >= 500 && status < 600,
		r.has(config.RetryGatewayError) && status >= 502 && status <= 504,
		r.has(config.Retry4xx) && status == 409,
		r.has(config.RetryStatusCodes) && r.retriableCode(status),
		r.has(config.RetryHeaders) && r.retriableHeader(response):
		return true
	}
	return r.On&retryGRPC != 0 && r.has(grpcCondition(response))
}

func (r *Retry) has(on config.RetryOn) bool { return r.On&on != 0 }

func (r *Retry) retriableCode(status uint32) bool {
	return slices.Contains(r.codes, status) || r.Policy != nil && slices.Contains(r.Policy.StatusCodes, status)
}

func (r *Retry) retriableHeader(response *stream.Response) bool {
	for _, name := range r.headers {
		if _, there := response.Fields.Get(name); there {
			return true
		}
	}
	return r.Policy != nil && anyHeader(r.Policy.Headers, func(name string) (string, bool) {
		if name == ":status" {
			return strconv.Itoa(response.Status), true
		}
		return response.Fields.Joined(name)
	})
}

func anyHeader(list []config.HeaderMatch, value func(string) (string, bool)) bool {
	return slices.ContainsFunc(list, func(m config.HeaderMatch) bool { return m.Match(value(m.Name)) })
}

// grpcCondition is the condition that grpc-status in a response's head meets. Trailers come too late for a retry.
func grpcCondition(response *stream.Response) config.RetryOn {
	switch response.Fields.Value("grpc-status") {
	case "1":
		return config.RetryGRPCCancelled
	case "4":
		return config.RetryGRPCDeadlineExceeded
	case "8":
		return config.RetryGRPCResourceExhausted
	case "13":
		return config.RetryGRPCInternal
	case "14":
		return config.RetryGRPCUnavailable
	default:
		return 0
	}
}

func (r *Retry) wantsFailure(o Outcome) bool {
	switch {
	case o.TimedOut:
		return r.has(config.Retry5xx | config.RetryGatewayError | config.RetryReset)
	case o.Why == codec.Overflow, o.Why == codec.Interrupted:
		return false
	case r.has(config.Retry5xx | config.RetryGatewayError | config.RetryReset):
		return true
	case r.has(config.RetryResetBeforeRequest) && !o.Started:
		return true
	case o.Why == codec.RefusedStream:
		return r.has(config.RetryRefusedStream)
	default:
		return r.has(config.RetryConnectFailure) && (o.Why == codec.ConnectFailure || o.Why == codec.ConnectTimeout)
	}
}

// BackOff is how long to wait before retry n, which counts from 1: somewhere in 0…(2^n−1)·base, at most the policy's
// longest interval. chance are 64 random bits. A response may say itself how long (rate_limited_retry_back_off).
func (r *Retry) BackOff(n uint32, o Outcome, chance uint64) time.Duration {
	if wait, told := r.told(o); told {
		return wait
	}
	base, most := 25*time.Millisecond, time.Duration(0)
	if r.Policy != nil {
		most = r.Policy.MaxInterval
		if r.Policy.BaseInterval > 0 {
			base = r.Policy.BaseInterval
		}
	}
	if most == 0 {
		most = min(base, math.MaxInt64/10) * 10
	}
	span := most
	if n < 32 {
		if factor := time.Duration(1)<<n - 1; base < most/max(factor, 1) {
			span = base * factor
		}
	}
	return time.Duration(chance % uint64(max(span, 1)))
}

func (r *Retry) told(o Outcome) (time.Duration, bool) {
	if r.Policy == nil || r.Policy.RateLimitedHeader == "" || o.Response == nil {
		return 0, false
	}
	seconds, err := strconv.ParseUint(o.Response.Fields.Value(r.Policy.RateLimitedHeader), 10, 32)
	return time.Duration(min(seconds, 300)) * time.Second, err == nil
}
