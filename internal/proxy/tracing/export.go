package tracing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/unary"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// exportTime is how long a collector may take unless its provider says.
const exportTime = 10 * time.Second

// target is a provider with what all its reports have in common.
type target struct {
	*config.TraceProvider
	most     int
	resource []byte // of OTLP: what comes before the spans
	scope    []byte
}

func (e *Exporter) newTarget(p *config.TraceProvider) *target {
	t := &target{TraceProvider: p, most: mostSpans}
	if p.MaxSpans > 0 {
		t.most = int(min(p.MaxSpans, mostSpans))
	}
	if p.Kind == config.OpenTelemetry {
		t.resource, t.scope = e.resource(p), wire.AppendText(nil, scopeName, "pillion")
	}
	return t
}

// run sends spans until the exporter is closed and none wait.
func (e *Exporter) run() {
	defer close(e.done)
	var list []entry
	for !e.queue.over() {
		<-e.queue.wake
		e.gather()
		list = e.queue.take(list)
		e.export(list)
		clear(list)
	}
	e.export(e.queue.take(nil))
}

// gather waits for more spans to go together.
func (e *Exporter) gather() {
	timer := time.NewTimer(e.opts.Interval)
	defer timer.Stop()
	for !e.queue.full() && !e.queue.over() {
		select {
		case <-timer.C:
			return
		case <-e.queue.wake:
		}
	}
}

// export sends each target its spans, in reports of at most `enough`.
func (e *Exporter) export(list []entry) {
	for len(list) > 0 {
		to := list[0].to
		var spans [][]byte
		list = slices.DeleteFunc(list, func(each entry) bool {
			if each.to != to || len(spans) == enough {
				return false
			}
			spans = append(spans, each.span)
			return true
		})
		e.report(to, spans)
	}
}

// report sends some spans. What a collector doesn't take is lost, and counted.
func (e *Exporter) report(to *target, spans [][]byte) {
	counts := &e.counts[to.Kind]
	timeout := to.Timeout
	if timeout == 0 {
		timeout = exportTime
	}
	ctx, stop := context.WithTimeout(e.ctx, timeout)
	defer stop()
	if err := e.send(ctx, to, spans, timeout); err != nil {
		counts.failed.Add(1)
		counts.dropped.Add(uint64(len(spans)))
		return
	}
	counts.reports.Add(1)
	counts.sent.Add(uint64(len(spans)))
}

func (e *Exporter) send(ctx context.Context, to *target, spans [][]byte, timeout time.Duration) error {
	switch {
	case to.Kind == config.Zipkin:
		return e.post(ctx, to, "application/json", zipkinReport(spans), timeout)
	case !to.GRPC:
		return e.post(ctx, to, "application/x-protobuf", to.otlpReport(spans), timeout)
	}
	call := unary.Call{
		Cluster: to.Cluster, Authority: to.Authority, Method: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
		Metadata: to.Headers, Timeout: timeout, Message: to.otlpReport(spans), Purpose: "tracing",
	}
	_, err := call.Do(ctx, e.opts.Send)
	return err
}

func (e *Exporter) post(ctx context.Context, to *target, contentType string, body []byte, timeout time.Duration) error {
	call := &filter.Call{
		Cluster: to.Cluster, Method: "POST", Host: to.Authority, Path: to.Path, Body: body, Timeout: timeout, Purpose: "tracing",
		Fields: []stream.Field{{Name: "content-type", Value: contentType}, {Name: "user-agent", Value: "pillion/" + e.opts.Version}},
	}
	if call.Host == "" {
		call.Host = to.Cluster
	}
	for _, h := range to.Headers {
		call.Fields = append(call.Fields, stream.Field{Name: h[0], Value: h[1]})
	}
	answer, err := e.opts.Send(ctx, call)
	if err == nil && (answer.Status < 200 || answer.Status > 299) {
		err = fmt.Errorf("the collector answered %d", answer.Status)
	}
	return err
}
