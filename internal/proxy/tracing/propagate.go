package tracing

import (
	"encoding/hex"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// parent is what a request's headers say of the trace it belongs to.
type parent struct {
	trace   stream.TraceID
	span    stream.SpanID // the caller's; none: the trace begins here
	above   stream.SpanID // the caller's parent, as B3 tells
	state   string
	sampled *bool // nil: not decided
}

const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

// readW3C: version-traceid-parentid-flags, https://www.w3.org/TR/trace-context/ 3.2.
func readW3C(f *stream.Fields) (p parent, ok bool) {
	v, _ := f.Get(traceParent)
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' || v[:2] == "ff" || len(v) > 55 && (v[:2] == "00" || v[55] != '-') {
		return p, false
	}
	var version, flags [1]byte
	if !unhex(version[:], v[:2]) || !unhex(flags[:], v[53:55]) || !unhex(p.trace[:], v[3:35]) || !unhex(p.span[:], v[36:52]) {
		return p, false
	}
	sampled := flags[0]&1 == 1
	p.sampled = &sampled
	p.state, _ = f.Joined(traceState)
	return p, p.trace != stream.TraceID{} && p.span != stream.SpanID{}
}

// readB3 reads one header or several; without ids they only tell whether to sample.
func readB3(f *stream.Fields) (parent, bool) {
	if v, there := f.Get("b3"); there {
		return readB3Single(v)
	}
	var p parent
	if p.sampled = b3Flag(f.Value("x-b3-sampled")); f.Value("x-b3-flags") == "1" {
		p.sampled = new(true)
	}
	trace, there := f.Get("x-b3-traceid")
	if !there {
		return p, p.sampled != nil
	}
	return p, p.b3IDs(trace, f.Value("x-b3-spanid"), f.Value("x-b3-parentspanid"))
}

// readB3Single: traceid-spanid[-flag[-parent]], or the flag alone.
func readB3Single(v string) (p parent, ok bool) {
	if p.sampled = b3Flag(v); p.sampled != nil {
		return p, true
	}
	parts := strings.Split(v, "-")
	if len(parts) < 2 || len(parts) > 4 {
		return p, false
	}
	parts = append(parts, "", "")
	p.sampled = b3Flag(parts[2])
	return p, p.b3IDs(parts[0], parts[1], parts[3])
}

// b3IDs reads ids of 64 or 128 bits.
func (p *parent) b3IDs(trace, span, above string) bool {
	if above != "" && !unhex(p.above[:], above) {
		return false
	}
	half := p.trace[8:]
	if len(trace) == 32 {
		half = p.trace[:]
	}
	return unhex(half, trace) && unhex(p.span[:], span) && p.trace != stream.TraceID{} && p.span != stream.SpanID{}
}

func b3Flag(text string) *bool {
	switch text {
	case "1", "d", "true":
		return new(true)
	case "0", "false":
		return new(false)
	}
	return nil
}

// unhex reads exactly as many lower-case digits as fill to.
func unhex(to []byte, text string) bool {
	if len(text) != 2*len(to) || strings.ContainsAny(text, "ABCDEF") {
		return false
	}
	_, err := hex.Decode(to, []byte(text))
	return err == nil
}

// writeW3C tells the next one of the span with that id.
func writeW3C(f *stream.Fields, s *stream.Span, id stream.SpanID) {
	text := make([]byte, 0, 55)
	text = hex.AppendEncode(append(text, "00-"...), s.TraceID[:])
	text = hex.AppendEncode(append(text, '-'), id[:])
	text = append(text, "-00"...)
	if s.Sampled {
		text[54] = '1'
	}
	f.Set(traceParent, string(text))
	if s.State == "" {
		f.Remove(traceState) // a state without its parent is nobody's
	}
}

// writeB3 writes several headers, and the single one if the request came with it: the next one may read only that.
func writeB3(f *stream.Fields, s *stream.Span, id, above stream.SpanID) {
	trace, span, flag := shortID(s.TraceID), id.String(), "0"
	if s.Sampled {
		flag = "1"
	}
	f.Set("x-b3-traceid", trace)
	f.Set("x-b3-spanid", span)
	f.Set("x-b3-sampled", flag)
	single := trace + "-" + span + "-" + flag
	if above == (stream.SpanID{}) {
		f.Remove("x-b3-parentspanid")
	} else {
		f.Set("x-b3-parentspanid", above.String())
		single += "-" + above.String()
	}
	if _, there := f.Get("b3"); there {
		f.Set("b3", single)
	}
}

// shortID writes an id of 64 bits as one.
func shortID(t stream.TraceID) string {
	if text := t.String(); text[:16] != "0000000000000000" {
		return text
	}
	return hex.EncodeToString(t[8:])
}
