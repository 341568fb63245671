package tracing

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// zipkinSpan is a span of Zipkin's API v2. Times are in microseconds.
type zipkinSpan struct {
	TraceID   string            `json:"traceId"`
	ParentID  string            `json:"parentId,omitempty"`
	ID        string            `json:"id"`
	Kind      string            `json:"kind"`
	Name      string            `json:"name"`
	Timestamp int64             `json:"timestamp"`
	Duration  int64             `json:"duration"`
	Shared    bool              `json:"shared,omitempty"`
	Local     zipkinEndpoint    `json:"localEndpoint"`
	Tags      map[string]string `json:"tags"`
}

type zipkinEndpoint struct {
	Service string `json:"serviceName"`
}

// zipkin is the span as JSON. service is this workload's name.
func (s *span) zipkin(service string) []byte {
	out := zipkinSpan{
		TraceID: shortID(s.trace), ID: s.id.String(), Kind: "CLIENT", Name: strings.ToLower(clip(s.name)), Shared: s.shared,
		Timestamp: s.start.UnixMicro(), Duration: max(1, s.end.Sub(s.start).Microseconds()),
		Local: zipkinEndpoint{service}, Tags: make(map[string]string, len(s.tags)),
	}
	if s.server {
		out.Kind = "SERVER"
	}
	if s.parent != (stream.SpanID{}) {
		out.ParentID = s.parent.String()
	}
	for _, each := range s.tags {
		out.Tags[each.name] = clip(each.value)
	}
	text, err := json.Marshal(&out)
	if err != nil { // strings and numbers are always written
		return nil
	}
	return text
}

// zipkinReport is the list of some spans.
func zipkinReport(spans [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(spans, []byte{','})...), ']')
}
