package tracing

import (
	"encoding/binary"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Tracer traces the requests of one manager. It may be used by many goroutines at once, a request by one.
type Tracer struct {
	*Exporter
	to       *target
	config   *config.Tracing
	spawn    bool // attempts have spans of their own
	tags     []tag
	name     *format.Format // nil: direction and host
	upstream *format.Format // nil: the cluster
}

func newTracer(e *Exporter, m *config.HTTPManager, to *target) *Tracer {
	t := m.Tracing
	return &Tracer{
		Exporter: e, to: to, config: t, spawn: t.Spawn || m.Router.StartChildSpan, tags: compileTags(t.Tags),
		name: compile(t.Operation), upstream: compile(t.UpstreamOperation),
	}
}

// compile returns nil for no format. Decoders refuse those that don't compile.
func compile(f *config.Format) *format.Format {
	if f == nil {
		return nil
	}
	compiled, err := format.New(f)
	if err != nil {
		return nil
	}
	return compiled
}

// Begin starts x's span: one more of the trace its headers tell of, or the first of a new one. Whether the caller's span
// is sampled counts, else x.Traced.
func (t *Tracer) Begin(x *stream.Exchange) {
	up, ok := t.read(&x.Request.Fields)
	s := &stream.Span{Sampled: x.Traced, TraceID: up.trace, Parent: up.span, State: up.state}
	if ok && up.sampled != nil {
		s.Sampled = *up.sampled
	}
	switch {
	case !ok || up.span == stream.SpanID{}:
		s.TraceID, s.Parent, s.State = t.newTrace(), stream.SpanID{}, ""
		s.ID = t.newSpan()
	case t.to.Kind == config.Zipkin && !t.to.Unshared && t.server(x):
		s.ID, s.Parent, s.Shared = up.span, up.above, true
	default:
		s.ID = t.newSpan()
	}
	x.Span = s
}

func (t *Tracer) read(f *stream.Fields) (p parent, ok bool) {
	if t.to.Kind == config.OpenTelemetry {
		return readW3C(f)
	}
	if p, ok = readB3(f); ok || !t.to.W3C {
		return p, ok
	}
	return readW3C(f)
}

// Attempt is called for each attempt before its head goes out: the next one is told of the span it belongs to.
func (t *Tracer) Attempt(x *stream.Exchange) {
	s := x.Span
	if t.spawn {
		s.Try, s.TryStart = t.newSpan(), time.Since(x.Start)
	}
	if t.config.Silent {
		return
	}
	id, above := s.ID, s.Parent
	if s.Try != (stream.SpanID{}) {
		id, above = s.Try, s.ID
	}
	f := &x.Request.Fields
	if t.to.Kind == config.Zipkin {
		writeB3(f, s, id, above)
	}
	if t.to.Kind == config.OpenTelemetry || t.to.W3C {
		writeW3C(f, s, id)
	}
}

// Failed is called after an attempt that another one may follow. x has the status it ended with, 0 for none.
func (t *Tracer) Failed(x *stream.Exchange) { t.endTry(x, time.Since(x.Start)) }

// End is called when x is over, while its strings still hold.
func (t *Tracer) End(x *stream.Exchange) {
	t.endTry(x, x.End)
	if x.Span.Sampled {
		t.send(t.span(x))
	}
}

func (t *Tracer) endTry(x *stream.Exchange, end time.Duration) {
	s := x.Span
	if s.Sampled && s.Try != (stream.SpanID{}) {
		t.send(t.trySpan(x, end))
	}
	s.Try = stream.SpanID{}
}

// send puts a span into its collector's queue, or counts it as lost.
func (t *Tracer) send(s *span) {
	encode := s.otlp
	if t.to.Kind == config.Zipkin {
		encode = func() []byte { return s.zipkin(t.service()) }
	}
	t.to.queue.Add(encode())
}

// service is the name of this workload in Zipkin's spans.
func (t *Tracer) service() string {
	if t.to.Service != "" {
		return t.to.Service
	}
	return t.opts.Node.Cluster
}

// server reports whether x's span is a server's: that of requests to the application, and of all that have spans of
// attempts below them.
func (t *Tracer) server(x *stream.Exchange) bool {
	return t.spawn || x.Conn.Direction == config.Inbound
}

func (t *Tracer) newTrace() (id stream.TraceID) {
	if t.to.Kind == config.OpenTelemetry || t.to.LongIDs {
		binary.BigEndian.PutUint64(id[:8], t.opts.Random())
	}
	binary.BigEndian.PutUint64(id[8:], t.opts.Random()|1) // never zero
	return id
}

func (t *Tracer) newSpan() (id stream.SpanID) {
	binary.BigEndian.PutUint64(id[:], t.opts.Random()|1)
	return id
}
