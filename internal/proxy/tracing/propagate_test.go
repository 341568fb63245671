package tracing

import (
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// fieldsOf are fields written as `name: value`.
func fieldsOf(lines ...string) *stream.Fields {
	f := &stream.Fields{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		f.Add(name, value)
	}
	return f
}

// told is a parent in a line: trace span above sampled.
func told(p parent, ok bool) string {
	if !ok {
		return "none"
	}
	flag := "?"
	if p.sampled != nil {
		flag = map[bool]string{true: "yes", false: "no"}[*p.sampled]
	}
	return strings.TrimSpace(p.trace.String() + " " + p.span.String() + " " + p.above.String() + " " + flag + " " + p.state)
}

const (
	long  = "4bf92f3577b34da6a3ce929d0e0e4736"
	short = "e457b5a2e4d86bd1"
	nil16 = "0000000000000000"
	w3c   = "traceparent: 00-" + long + "-" + short
)

func TestReadW3C(t *testing.T) {
	for header, want := range map[string]string{
		w3c + "-01": long + " " + short + " " + nil16 + " yes",
		w3c + "-00": long + " " + short + " " + nil16 + " no",
		strings.Replace(w3c, "00-", "cc-", 1) + "-03-x": long + " " + short + " " + nil16 + " yes",
		strings.Replace(w3c, "00-", "ff-", 1) + "-01":   "none",
		w3c + "-01-x": "none",
		w3c + "-0x":   "none",
		w3c:           "none",
		"traceparent: " + strings.ToUpper(w3c[13:]) + "-01":      "none",
		"traceparent: 00-" + long + "-" + nil16 + "-01":          "none",
		"traceparent: 00-" + nil16 + nil16 + "-" + short + "-01": "none",
		"b3: 1": "none",
	} {
		if got := told(readW3C(fieldsOf(header))); got != want {
			t.Errorf("%s: %s, want %s", header, got, want)
		}
	}
	if got := told(readW3C(fieldsOf(w3c+"-01", "tracestate: a=1", "tracestate: b=2"))); !strings.HasSuffix(got, " yes a=1,b=2") {
		t.Error(got)
	}
}

func TestReadB3(t *testing.T) {
	none := nil16 + nil16 + " " + nil16 + " " + nil16
	for headers, want := range map[string]string{
		"b3: " + long + "-" + short + "-1-" + long[:16]: long + " " + short + " " + long[:16] + " yes",
		"b3: " + short + "-" + short + "-d":             nil16 + short + " " + short + " " + nil16 + " yes",
		"b3: " + short + "-" + short:                    nil16 + short + " " + short + " " + nil16 + " ?",
		"b3: 0":                                         none + " no",
		"b3: x-y":                                       "none",
		"b3: ":                                          "none",
		"b3: a-b-c-d-e":                                 "none",
		"x-b3-traceid: " + long + "\nx-b3-spanid: " + short + "\nx-b3-parentspanid: " + short + "\nx-b3-sampled: 0": long + " " + short + " " + short + " no",
		"x-b3-traceid: " + short + "\nx-b3-spanid: " + short + "\nx-b3-flags: 1":                                    nil16 + short + " " + short + " " + nil16 + " yes",
		"x-b3-traceid: " + short:        "none",
		"x-b3-sampled: true":            none + " yes",
		"x-b3-spanid: " + short:         "none",
		"traceparent: 00-" + long + "-": "none",
	} {
		if got := told(readB3(fieldsOf(strings.Split(headers, "\n")...))); got != want {
			t.Errorf("%q: %s, want %s", headers, got, want)
		}
	}
}

// TestWrittenIsRead: what is written is read as it was meant, in all forms.
func TestWrittenIsRead(t *testing.T) {
	for _, sampled := range []bool{false, true} {
		for _, above := range []stream.SpanID{{}, {5}} {
			s := &stream.Span{TraceID: stream.TraceID{1, 15: 2}, ID: stream.SpanID{3}, Sampled: sampled, State: "a=1"}
			flag := map[bool]string{true: "yes", false: "no"}[sampled]
			f := fieldsOf("tracestate: a=1", "traceparent: old")
			writeW3C(f, s, s.ID)
			if got, want := told(readW3C(f)), s.TraceID.String()+" "+s.ID.String()+" "+nil16+" "+flag+" a=1"; got != want {
				t.Errorf("W3C: %s, want %s", got, want)
			}
			for _, f := range []*stream.Fields{fieldsOf(), fieldsOf("b3: 0")} {
				writeB3(f, s, s.ID, above)
				if got, want := told(readB3(f)), s.TraceID.String()+" "+s.ID.String()+" "+above.String()+" "+flag; got != want {
					t.Errorf("B3: %s, want %s", got, want)
				}
			}
		}
	}
	f := fieldsOf("tracestate: a=1")
	writeW3C(f, &stream.Span{TraceID: stream.TraceID{1}}, stream.SpanID{1})
	if _, there := f.Get("tracestate"); there {
		t.Error("a new trace has an old one's state")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(w3c[13:] + "-01")
	f.Add(long + "-" + short + "-1-" + short)
	f.Fuzz(func(t *testing.T, value string) {
		if p, ok := readW3C(fieldsOf("traceparent: " + value)); ok && value[3:35] != p.trace.String() {
			t.Errorf("%q was read as %s", value, told(p, ok))
		}
		if p, ok := readB3(fieldsOf("b3: " + value)); ok && p.span != (stream.SpanID{}) && !strings.Contains(value, shortID(p.trace)) && !strings.HasPrefix(value, nil16) {
			t.Errorf("%q was read as %s", value, told(p, ok))
		}
	})
}
