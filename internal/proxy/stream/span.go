package stream

import (
	"encoding/hex"
	"time"
)

// TraceID is 16 bytes; the first eight of a short one, which B3 knows, are zero.
type TraceID [16]byte

// String is the id in hexadecimal: 32 digits.
func (t TraceID) String() string { return hex.EncodeToString(t[:]) }

// SpanID is 8 bytes; all zero is none.
type SpanID [8]byte

// String is the id in hexadecimal: 16 digits.
func (s SpanID) String() string { return hex.EncodeToString(s[:]) }

// Span is the part of a trace that a request is. Package tracing fills it in.
type Span struct {
	TraceID TraceID
	ID      SpanID
	Parent  SpanID // none: it's the trace's root
	State   string // tracestate, passed on as it came
	Sampled bool   // it will be sent
	Shared  bool   // the client's span has the same id, as B3 allows

	// Try is the span of the present attempt, none unless attempts have their own. TryStart is since the exchange's Start.
	Try      SpanID
	TryStart time.Duration
}
