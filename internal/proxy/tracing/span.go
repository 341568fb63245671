package tracing

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// span is what is told of a request, or of an attempt of it. Its strings are views.
type span struct {
	trace      stream.TraceID
	id, parent stream.SpanID
	state      string
	name       string
	server     bool // else a client's
	shared     bool
	failed     bool
	start, end time.Time
	tags       []attribute
}

// attribute is a tag.
type attribute struct{ name, value string }

// span is that of the request, when it is over.
func (t *Tracer) span(x *stream.Exchange) *span {
	s := x.Span
	out := &span{
		trace: s.TraceID, id: s.ID, parent: s.Parent, state: s.State, shared: s.Shared, server: t.server(x),
		name: t.operation(x), start: x.Start, end: x.Start.Add(x.End), tags: make([]attribute, 0, usualTags),
	}
	out.failed = failed(x.Response.Status, out.server)
	out.tags = append(out.tags, attribute{"node_id", t.opts.Node.ID}, attribute{"zone", t.opts.Node.Zone})
	out.tags = requestTags(out.tags, x, int(t.config.MaxPathTag))
	out.tags = commonTags(out.tags, x)
	out.tags = t.customTags(out.tags, x)
	return out
}

// trySpan is that of an attempt, below the request's.
func (t *Tracer) trySpan(x *stream.Exchange, end time.Duration) *span {
	s := x.Span
	out := &span{
		trace: s.TraceID, id: s.Try, parent: s.ID, state: s.State, failed: failed(x.Response.Status, false),
		name: t.upstreamOperation(x), start: x.Start.Add(s.TryStart), end: x.Start.Add(end), tags: make([]attribute, 0, usualTags),
	}
	out.tags = upstreamTags(out.tags, x)
	out.tags = commonTags(out.tags, x)
	out.tags = t.customTags(out.tags, x)
	return out
}

// failed is OpenTelemetry's rule: a client's mistake is the server's success.
func failed(status int, server bool) bool {
	return status == 0 || status >= 500 || status >= 400 && !server
}

// operation names the span: as the route or the manager say, else as the decorator or the other side do, else by
// direction and host.
func (t *Tracer) operation(x *stream.Exchange) string {
	own := t.name
	if r := x.Route; r != nil && r.Tracing != nil && r.Tracing.Operation != nil {
		own = compile(r.Tracing.Operation)
	}
	switch {
	case own != nil:
		return written(own, x)
	case x.Operation != "":
		return x.Operation
	case x.Conn.Direction == config.Inbound:
		return "ingress"
	default:
		return "egress " + x.Request.Authority
	}
}

func (t *Tracer) upstreamOperation(x *stream.Exchange) string {
	own := t.upstream
	if r := x.Route; r != nil && r.Tracing != nil && r.Tracing.UpstreamOperation != nil {
		own = compile(r.Tracing.UpstreamOperation)
	}
	if own != nil {
		return written(own, x)
	}
	return "router " + x.ClusterName + " egress"
}

func written(f *format.Format, x *stream.Exchange) string { return string(f.Append(nil, x)) }
