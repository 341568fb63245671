package tracing

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Fields of OTLP's messages, opentelemetry/proto/trace/v1/trace.proto and common/v1/common.proto.
const (
	reportResourceSpans = 1
	groupResource       = 1
	groupScopeSpans     = 2
	scopeScope          = 1
	scopeSpans          = 2
	scopeName           = 1
	resourceAttributes  = 1

	spanTraceID    = 1
	spanID         = 2
	spanTraceState = 3
	spanParentID   = 4
	spanName       = 5
	spanKind       = 6
	spanStart      = 7
	spanEnd        = 8
	spanAttributes = 9
	spanStatus     = 15
	statusCode     = 3

	pairKey   = 1
	pairValue = 2
	valueText = 1
)

// Values of Span.kind and Status.code.
const (
	kindServer  = 2
	kindClient  = 3
	statusError = 2
)

func appendText(b []byte, field protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), strings.ToValidUTF8(text, "?"))
}

func appendBytes(b []byte, field protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), content)
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func appendTime(b []byte, field protowire.Number, nanoseconds int64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), uint64(nanoseconds))
}

// appendPair writes a KeyValue whose value is text.
func appendPair(b []byte, field protowire.Number, pair attribute) []byte {
	value := appendText(nil, valueText, clip(pair.value))
	return appendBytes(b, field, appendBytes(appendText(nil, pairKey, pair.name), pairValue, value))
}

// otlp is the span as a Span message.
func (s *span) otlp() []byte {
	b := make([]byte, 0, 1024)
	b = appendBytes(b, spanTraceID, s.trace[:])
	b = appendBytes(b, spanID, s.id[:])
	if s.state != "" {
		b = appendText(b, spanTraceState, s.state)
	}
	if s.parent != [8]byte{} {
		b = appendBytes(b, spanParentID, s.parent[:])
	}
	b = appendText(b, spanName, clip(s.name))
	kind := uint64(kindClient)
	if s.server {
		kind = kindServer
	}
	b = appendNumber(b, spanKind, kind)
	b = appendTime(b, spanStart, s.start.UnixNano())
	b = appendTime(b, spanEnd, s.end.UnixNano())
	for _, each := range s.tags {
		b = appendPair(b, spanAttributes, each)
	}
	if s.failed {
		b = appendBytes(b, spanStatus, appendNumber(nil, statusCode, statusError))
	}
	return b
}

// otlpReport is an ExportTraceServiceRequest.
func (t *target) otlpReport(spans [][]byte) []byte {
	scope := appendBytes(nil, scopeScope, t.scope)
	for _, each := range spans {
		scope = appendBytes(scope, scopeSpans, each)
	}
	group := appendBytes(nil, groupResource, t.resource)
	return appendBytes(nil, reportResourceSpans, appendBytes(group, groupScopeSpans, scope))
}

// resource is the Resource message of a provider's reports.
func (e *Exporter) resource(p *config.TraceProvider) (b []byte) {
	var list []attribute
	if !p.NoService {
		name := p.Service
		if name == "" {
			name = "unknown_service:envoy"
		}
		list = append(list, attribute{"service.name", name})
	}
	if !p.NoSDK {
		list = append(list, attribute{"telemetry.sdk.language", "go"}, attribute{"telemetry.sdk.name", "pillion"}, attribute{"telemetry.sdk.version", e.opts.Version})
	}
	if p.Environment {
		list = append(list, environment(e.opts.Getenv("OTEL_RESOURCE_ATTRIBUTES"))...)
	}
	for _, each := range list {
		b = appendPair(b, resourceAttributes, each)
	}
	return b
}
