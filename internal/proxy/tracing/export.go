package tracing

import (
	"cmp"
	"context"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/export"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// enough spans go at once, without waiting for more.
const enough = 256

// target is a provider with what all its reports have in common.
type target struct {
	*config.TraceProvider
	queue    *export.Queue
	client   export.Client
	resource []byte // of OTLP: what comes before the spans
	scope    []byte
}

func (e *Exporter) newTarget(p *config.TraceProvider) *target {
	t := &target{TraceProvider: p}
	if p.Kind == config.OpenTelemetry {
		t.resource, t.scope = e.resource(p), wire.AppendText(nil, scopeName, "pillion")
	}
	timeout := cmp.Or(p.Timeout, export.DefaultTimeout)
	t.client = export.Client{
		Send: e.opts.Send, Timeout: timeout, Agent: "pillion/" + e.opts.Version, Purpose: "tracing",
		Collector: config.Collector{Cluster: p.Cluster, Authority: p.Authority, Path: p.Path, Headers: p.Headers},
	}
	t.queue = e.group.Queue(export.Plan{
		Send:    func(ctx context.Context, spans [][]byte) error { return e.send(ctx, t, spans) },
		Timeout: timeout, Interval: e.opts.Interval, Entries: enough, Waiting: int(p.MaxSpans), Counters: e.countersOf(p.Kind),
	})
	return t
}

func (e *Exporter) send(ctx context.Context, to *target, spans [][]byte) error {
	switch {
	case to.Kind == config.Zipkin:
		return to.client.Post(ctx, "application/json", zipkinReport(spans))
	case !to.GRPC:
		return to.client.Post(ctx, "application/x-protobuf", to.otlpReport(spans))
	}
	return to.client.Call(ctx, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", to.otlpReport(spans))
}
