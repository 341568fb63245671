package route

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const requestID = "x-request-id"

// tracePlace is where a request id says whether its request is traced: the version digit of a UUIDv4.
const tracePlace = 14

// TraceReason is what stands there: why a request is traced, if it is.
type TraceReason byte

// The reasons: none, chance, a server asked for it, a client did.
const (
	NotTraced     TraceReason = '4'
	TraceSampled  TraceReason = '9'
	TraceByServer TraceReason = 'a'
	TraceByClient TraceReason = 'b'
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
		mark(x, id, NotTraced)
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
func mark(x *stream.Exchange, id string, digit TraceReason) {
	if len(id) == 36 && id[tracePlace] != byte(digit) {
		x.Request.Fields.Set(requestID, id[:tracePlace]+string(digit)+id[tracePlace+1:])
	}
}
