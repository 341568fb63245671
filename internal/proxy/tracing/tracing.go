// Package tracing makes spans of requests and sends them to collectors. A request with its route comes in; it goes on
// with trace headers, and when it is over its span goes out: OpenTelemetry's protocol over gRPC or HTTP, or Zipkin's
// JSON. Whether a request is traced was decided before, by package route.
//
// Requests never wait: a span that is over is bytes in the bounded queue of its collector (package export), which one
// goroutine a collector empties (export.go). Read this file first, then tracer.go (a request's way), propagate.go (headers), span.go and tags.go (what a
// span says), otlp.go and zipkin.go (how).
package tracing

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/export"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/unary"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// Options are what tracing needs of the proxy.
type Options struct {
	Send     unary.Send // how requests reach clusters
	Store    *telemetry.Store
	Node     Node
	Default  *config.TraceProvider // of managers that name none; nil: they export nothing
	Version  string                // of this proxy
	Interval time.Duration         // how long spans wait to go together; 0: one second
	Random   func() uint64         // nil: math/rand/v2
	Getenv   func(string) string   // nil: os.Getenv
}

// Node is the bootstrap's node, as spans name it.
type Node struct{ ID, Cluster, Zone string }

func (o Options) withDefaults() Options {
	if o.Store == nil {
		o.Store = telemetry.NewStore(0, telemetry.Labels{})
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	return o
}

// Exporter makes tracers and sends what they make.
type Exporter struct {
	opts  Options
	group *export.Group

	mu      sync.Mutex
	targets map[string]*target
}

// New returns an Exporter. It has no goroutine before the first span; Close must be called.
func New(o Options) *Exporter {
	return &Exporter{opts: o.withDefaults(), group: export.NewGroup(), targets: map[string]*target{}}
}

// names are the providers in statistics.
var names = [...]string{config.OpenTelemetry: "opentelemetry", config.Zipkin: "zipkin"}

// Tracer returns what traces requests of m; nil: nothing does.
func (e *Exporter) Tracer(m *config.HTTPManager) *Tracer {
	if m.Tracing == nil {
		return nil
	}
	provider := m.Tracing.Provider
	if provider == nil {
		provider = e.opts.Default
	}
	if provider == nil {
		return nil
	}
	return newTracer(e, m, e.target(provider))
}

// countersOf are `tracing.opentelemetry.` or `tracing.zipkin.`.
func (e *Exporter) countersOf(kind config.TraceKind) export.Counters {
	named := func(name string) *telemetry.Counter {
		return e.opts.Store.Counter("tracing." + names[kind] + "." + name)
	}
	return export.Counters{
		Sent: named("spans_sent"), Dropped: named("spans_dropped"), Reports: named("reports_sent"), Failed: named("reports_failed"),
	}
}

// mostTargets bounds how many providers are remembered. One that was forgotten while it is in use is only a group more.
const mostTargets = 64

// target returns the one of a provider. Each listener names its provider anew: equal ones are one target, so that their
// spans go together.
func (e *Exporter) target(p *config.TraceProvider) *target {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := fmt.Sprintf("%+v", *p)
	t := e.targets[key]
	if t == nil {
		if len(e.targets) >= mostTargets {
			clear(e.targets)
		}
		t = e.newTarget(p)
		e.targets[key] = t
	}
	return t
}

// Close sends what is waiting, for as long as ctx lasts. Spans that end later are dropped.
func (e *Exporter) Close(ctx context.Context) { e.group.Close(ctx) }

// environment reads OTEL_RESOURCE_ATTRIBUTES: name=value, separated by commas.
func environment(text string) (list []attribute) {
	for each := range strings.SplitSeq(text, ",") {
		if name, value, ok := strings.Cut(each, "="); ok && strings.TrimSpace(name) != "" {
			value = strings.TrimSpace(value)
			if plain, err := url.PathUnescape(value); err == nil {
				value = plain
			}
			list = append(list, attribute{strings.TrimSpace(name), value})
		}
	}
	return list
}
