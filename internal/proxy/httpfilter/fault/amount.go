package fault

import (
	"strconv"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// longest is how long a header may ask a request to be delayed.
const longest = time.Hour

// fastest is the highest rate in KiB a second that is one: what is above goes as fast.
const fastest = 1 << 32

// delay is how long x is delayed, chance decided; 0: not.
func (f *fault) delay(x *stream.Exchange) time.Duration {
	d, part := f.delayAmount(x)
	if d > 0 && f.deps.Chance(part) {
		return d
	}
	return 0
}

// delayAmount is the delay and how many of a million requests get it.
func (f *fault) delayAmount(x *stream.Exchange) (time.Duration, uint32) {
	if !f.config.DelayHeader {
		return f.config.Delay, f.config.DelayPerMillion
	}
	ms, ok := number(x, "x-envoy-fault-delay-request")
	if !ok {
		return 0, 0
	}
	return min(time.Duration(min(ms, uint64(longest/time.Millisecond)))*time.Millisecond, longest),
		percentage(x, "x-envoy-fault-delay-request-percentage", f.config.DelayPerMillion)
}

// rate is how many bytes a second the client gets of x's answer, chance decided; 0: all there are.
func (f *fault) rate(x *stream.Exchange) uint64 {
	rate, part := f.rateAmount(x)
	if rate > 0 && f.deps.Chance(part) {
		return rate
	}
	return 0
}

// rateAmount is the rate and how many of a million requests get it.
func (f *fault) rateAmount(x *stream.Exchange) (rate uint64, part uint32) {
	if !f.config.RateHeader {
		return min(f.config.RateKBps, fastest) << 10, f.config.RatePerMillion
	}
	n, _ := number(x, "x-envoy-fault-throughput-response")
	return n << 10, percentage(x, "x-envoy-fault-throughput-response-percentage", f.config.RatePerMillion)
}

// abort is the status x is answered with, chance decided; 0: not.
func (f *fault) abort(x *stream.Exchange) (status, grpc int) {
	status, grpc, part := f.abortAmount(x)
	if status == 0 || !f.deps.Chance(part) {
		return 0, 0
	}
	return status, grpc
}

func (f *fault) abortAmount(x *stream.Exchange) (status, grpc int, part uint32) {
	switch {
	case f.config.AbortHeader:
		part = percentage(x, "x-envoy-fault-abort-request-percentage", f.config.AbortPerMillion)
		if n, ok := number(x, "x-envoy-fault-abort-request"); ok && n >= 200 && n < 600 {
			return int(n), 0, part
		}
		if n, ok := number(x, "x-envoy-fault-abort-grpc-request"); ok && n <= 16 {
			return statusOf(int(n)), int(n), part
		}
		return 0, 0, 0
	case f.config.AbortGRPC != nil:
		return statusOf(int(*f.config.AbortGRPC)), int(*f.config.AbortGRPC), f.config.AbortPerMillion
	default:
		return int(f.config.AbortHTTP), 0, f.config.AbortPerMillion
	}
}

func number(x *stream.Exchange, name string) (uint64, bool) {
	n, err := strconv.ParseUint(x.Request.Fields.Value(name), 10, 32)
	return n, err == nil
}

// percentage is what a header asks for in percent, at most what is configured.
func percentage(x *stream.Exchange, name string, most uint32) uint32 {
	if n, ok := number(x, name); ok {
		return uint32(min(n*10_000, uint64(most)))
	}
	return most
}

// httpStatus are the HTTP statuses of gRPC's, from OK on.
var httpStatus = [...]int{200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401}

// statusOf is the HTTP status of a gRPC status, for clients that don't speak gRPC.
func statusOf(grpc int) int {
	if grpc >= 0 && grpc < len(httpStatus) {
		return httpStatus[grpc]
	}
	return 500
}
