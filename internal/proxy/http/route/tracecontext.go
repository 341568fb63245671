package route

import (
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// TraceContext is what a request's headers say of the trace it belongs to. The headers themselves pass untouched: a
// proxy that exports no spans must not put itself between a parent and its child.
type TraceContext struct {
	TraceID string // as the header has it: hexadecimal, Datadog's decimal
	SpanID  string // of the caller
	Sampled *bool  // nil: not decided
	Format  string // w3c, b3, datadog, skywalking; empty: no trace
}

// ReadTraceContext reads the first that is well formed of W3C's traceparent, B3 in one header or several, Datadog's
// headers and SkyWalking's sw8.
func ReadTraceContext(f *stream.Fields) TraceContext {
	for _, read := range [...]func(*stream.Fields) (TraceContext, bool){readW3C, readB3, readB3Multi, readDatadog, readSkyWalking} {
		if c, ok := read(f); ok {
			return c
		}
	}
	return TraceContext{}
}

// readW3C: version-traceid-parentid-flags, https://www.w3.org/TR/trace-context/ 3.2.
func readW3C(f *stream.Fields) (TraceContext, bool) {
	v, _ := f.Get("traceparent")
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' || v[:2] == "ff" || len(v) > 55 && (v[:2] == "00" || v[55] != '-') {
		return TraceContext{}, false
	}
	if !lowerHex(v[:2]) || !id(v[3:35]) || !id(v[36:52]) || !lowerHex(v[53:55]) {
		return TraceContext{}, false
	}
	sampled := unhex(v[54])&1 == 1
	return TraceContext{v[3:35], v[36:52], &sampled, "w3c"}, true
}

// readB3: traceid-spanid[-flag[-parent]], or the flag alone.
func readB3(f *stream.Fields) (TraceContext, bool) {
	v, there := f.Get("b3")
	if !there {
		return TraceContext{}, false
	}
	if flag := b3Flag(v); flag != nil {
		return TraceContext{Sampled: flag, Format: "b3"}, true
	}
	trace, rest, _ := strings.Cut(v, "-")
	span, rest, _ := strings.Cut(rest, "-")
	flag, _, _ := strings.Cut(rest, "-")
	return TraceContext{trace, span, b3Flag(flag), "b3"}, b3IDs(trace, span)
}

func readB3Multi(f *stream.Fields) (TraceContext, bool) {
	trace, _ := f.Get("x-b3-traceid")
	span, _ := f.Get("x-b3-spanid")
	flag := b3Flag(f.Value("x-b3-sampled"))
	if f.Value("x-b3-flags") == "1" {
		yes := true
		flag = &yes
	}
	if trace == "" && flag != nil {
		return TraceContext{Sampled: flag, Format: "b3"}, true
	}
	return TraceContext{trace, span, flag, "b3"}, b3IDs(trace, span)
}

func b3IDs(trace, span string) bool {
	return (len(trace) == 16 || len(trace) == 32) && len(span) == 16 && id(trace) && id(span)
}

func b3Flag(text string) *bool {
	sampled := text == "1" || text == "d" || text == "true"
	if sampled || text == "0" || text == "false" {
		return &sampled
	}
	return nil
}

func readDatadog(f *stream.Fields) (TraceContext, bool) {
	trace, _ := f.Get("x-datadog-trace-id")
	span, _ := f.Get("x-datadog-parent-id")
	if !decimal(trace) || !decimal(span) {
		return TraceContext{}, false
	}
	c := TraceContext{TraceID: trace, SpanID: span, Format: "datadog"}
	if priority, err := strconv.Atoi(f.Value("x-datadog-sampling-priority")); err == nil {
		sampled := priority > 0
		c.Sampled = &sampled
	}
	return c, true
}

func decimal(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil
}

// readSkyWalking: flag-traceid-segment-span-…, eight parts, of which this tells the trace only.
func readSkyWalking(f *stream.Fields) (TraceContext, bool) {
	v, there := f.Get("sw8")
	if !there || strings.Count(v, "-") < 7 {
		return TraceContext{}, false
	}
	flag, rest, _ := strings.Cut(v, "-")
	trace, _, _ := strings.Cut(rest, "-")
	return TraceContext{TraceID: trace, Sampled: b3Flag(flag), Format: "skywalking"}, trace != ""
}

func lowerHex(text string) bool {
	for i := 0; i < len(text); i++ {
		if unhex(text[i]) < 0 || text[i] >= 'A' && text[i] <= 'F' {
			return false
		}
	}
	return text != ""
}

// id is hexadecimal and not all zero.
func id(text string) bool { return lowerHex(text) && strings.Trim(text, "0") != "" }
