package route

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const requestID = "x-request-id"

// tracePlace is where a request id says whether its request is traced: the version digit of a UUIDv4.
const tracePlace = 14

// What stands there: not traced, sampled, asked for by a server, asked for by a client.
const (
	notTraced     = '4'
	traceSampled  = '9'
	traceByServer = 'a'
	traceByClient = 'b'
)

// SetRequestID gives x's request an x-request-id unless it has one that counts: an id from outside (edge, as Prepare
// tells) is replaced, or kept without its trace bit with preserve_external_request_id. random are 128 random bits.
func SetRequestID(m *config.HTTPManager, x *stream.Exchange, edge bool, random [2]uint64) {
	if !m.GenerateRequestID {
		return
	}
	id, there := x.Request.Fields.Get(requestID)
	switch {
	case !there || edge && !m.PreserveRequestID:
		x.Request.Fields.Set(requestID, newID(random))
	case edge:
		mark(x, id, notTraced)
	}
}

func newID(random [2]uint64) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], random[0])
	binary.BigEndian.PutUint64(raw[8:], random[1])
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	var text [36]byte
	at := 0
	for i, n := range [...]int{4, 2, 2, 2, 6} {
		if i > 0 {
			text[at] = '-'
			at++
		}
		at += hex.Encode(text[at:], raw[:n])
		copy(raw[:], raw[n:])
	}
	return string(text[:])
}

// mark writes the trace digit into an id that has a place for it.
func mark(x *stream.Exchange, id string, digit byte) {
	if len(id) == 36 && id[tracePlace] != digit {
		x.Request.Fields.Set(requestID, id[:tracePlace]+string(digit)+id[tracePlace+1:])
	}
}

// SampleTrace decides whether x is traced and notes it in x.Traced and in the request id, whose digits are the dice: all
// proxies a request passes come to the same answer. x-client-trace-id and x-envoy-force-trace ask for a trace.
func SampleTrace(m *config.HTTPManager, x *stream.Exchange, runtime Runtime) {
	id := x.Request.Fields.Value(requestID)
	if m.Tracing == nil || len(id) != 36 {
		return
	}
	dice, err := strconv.ParseUint(id[:8], 16, 64)
	if err != nil {
		return
	}
	digit := id[tracePlace]
	if digit != traceSampled && digit != traceByServer && digit != traceByClient {
		digit = sampled(m.Tracing, x, dice, runtime)
	}
	if !runtime.Takes(&config.Fraction{Key: "tracing.global_enabled", PerMillion: m.Tracing.Overall}, dice) {
		digit = notTraced
	}
	x.Traced = digit != notTraced
	mark(x, id, digit)
}

func sampled(t *config.Tracing, x *stream.Exchange, dice uint64, runtime Runtime) byte {
	_, client := x.Request.Fields.Get("x-client-trace-id")
	_, server := x.Request.Fields.Get("x-envoy-force-trace")
	switch {
	case client && runtime.Takes(&config.Fraction{Key: "tracing.client_enabled", PerMillion: t.Client}, dice):
		return traceByClient
	case server:
		return traceByServer
	case runtime.Takes(&config.Fraction{Key: "tracing.random_sampling", PerMillion: t.Random}, dice):
		return traceSampled
	default:
		return notTraced
	}
}
