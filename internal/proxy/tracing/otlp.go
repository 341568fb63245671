package tracing

import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
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

// appendPair writes a KeyValue whose value is text.
func appendPair(b []byte, field wire.Number, pair attribute) []byte {
	value := wire.AppendText(nil, valueText, clip(pair.value))
	return wire.AppendBytes(b, field, wire.AppendBytes(wire.AppendText(nil, pairKey, pair.name), pairValue, value))
}

// otlp is the span as a Span message.
func (s *span) otlp() []byte {
	b := make([]byte, 0, 1024)
	b = wire.AppendBytes(b, spanTraceID, s.trace[:])
	b = wire.AppendBytes(b, spanID, s.id[:])
	if s.state != "" {
		b = wire.AppendText(b, spanTraceState, s.state)
	}
	if s.parent != [8]byte{} {
		b = wire.AppendBytes(b, spanParentID, s.parent[:])
	}
	b = wire.AppendText(b, spanName, clip(s.name))
	kind := uint64(kindClient)
	if s.server {
		kind = kindServer
	}
	b = wire.AppendNumber(b, spanKind, kind)
	b = wire.AppendFixed(b, spanStart, uint64(s.start.UnixNano()))
	b = wire.AppendFixed(b, spanEnd, uint64(s.end.UnixNano()))
	for _, each := range s.tags {
		b = appendPair(b, spanAttributes, each)
	}
	if s.failed {
		b = wire.AppendBytes(b, spanStatus, wire.AppendNumber(nil, statusCode, statusError))
	}
	return b
}

// otlpReport is an ExportTraceServiceRequest.
func (t *target) otlpReport(spans [][]byte) []byte {
	scope := wire.AppendBytes(nil, scopeScope, t.scope)
	for _, each := range spans {
		scope = wire.AppendBytes(scope, scopeSpans, each)
	}
	group := wire.AppendBytes(nil, groupResource, t.resource)
	return wire.AppendBytes(nil, reportResourceSpans, wire.AppendBytes(group, groupScopeSpans, scope))
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
