// Package remotelog tells collectors of access logs what went through: envoy.service.accesslog.v3 and OpenTelemetry's log
// service over gRPC, the second over HTTP too. A finished exchange and the log's configuration come in; reports go out
// through a cluster, by the queues of package export: traffic waits for none of it.
//
// Read this file first, then report.go (what goes out and how), entry.go with its neighbours (an entry of Envoy's service)
// and otel.go (a record of OpenTelemetry's).
package remotelog

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/export"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/unary"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// Options are what remote logs need of the proxy.
type Options struct {
	Send    unary.Send // how requests reach clusters
	Store   *telemetry.Store
	Node    Node
	Version string // of this proxy
}

// Node is the bootstrap's node.
type Node struct {
	Raw               []byte // envoy.config.core.v3.Node
	ID, Cluster, Zone string
}

// Exporter makes logs and sends what they are told.
type Exporter struct {
	opts  Options
	group *export.Group

	mu     sync.Mutex
	queues map[string]*export.Queue
}

// New returns an Exporter. It has no goroutine before the first entry; Close must be called.
func New(o Options) *Exporter {
	return &Exporter{opts: o, group: export.NewGroup(), queues: map[string]*export.Queue{}}
}

// Close sends what is waiting, for as long as ctx lasts. Entries that come later are dropped.
func (e *Exporter) Close(ctx context.Context) { e.group.Close(ctx) }

// Log returns what tells the collector of an exchange. Operators that don't compile were refused when the configuration was
// decoded; here their fields are left out.
func (e *Exporter) Log(c *config.RemoteLog) func(*stream.Exchange) {
	queue := e.queue(c)
	encode := newEntries(c).encode
	if c.Kind == config.OTelLog {
		encode = newRecords(c).encode
	}
	return func(x *stream.Exchange) { queue.Add(encode(x)) }
}

// mostQueues bounds how many collectors are remembered. One that was forgotten while it is in use is only a queue more.
const mostQueues = 64

// enough entries go at once however small they are.
const enough = 512

// queue returns the one of a collector. Each listener names its logs anew: those whose reports say the same go together.
func (e *Exporter) queue(c *config.RemoteLog) *export.Queue {
	r := e.newReporter(c)
	key := fmt.Sprintf("%d %+v %q %q %d %d %q", c.Kind, c.Collector, c.Name, r.head, c.Flush, c.Buffer, c.StatPrefix)
	e.mu.Lock()
	defer e.mu.Unlock()
	q := e.queues[key]
	if q == nil {
		if len(e.queues) >= mostQueues {
			clear(e.queues)
		}
		q = e.group.Queue(export.Plan{
			Send: r.send, Timeout: r.client.Timeout, Interval: c.Flush, Entries: enough, Bytes: max(1, int(c.Buffer)), Counters: e.counters(c),
		})
		e.queues[key] = q
	}
	return q
}

func (e *Exporter) newReporter(c *config.RemoteLog) *reporter {
	r := &reporter{kind: c.Kind, client: export.Client{
		Send: e.opts.Send, Collector: c.Collector, Timeout: cmp.Or(c.Collector.Timeout, export.DefaultTimeout),
		Agent: "pillion/" + e.opts.Version, Purpose: "access log",
	}}
	if c.Kind == config.OTelLog {
		r.head = e.resource(c)
	} else {
		r.head = e.identifier(c)
	}
	return r
}

// counters are `access_logs.grpc_access_log.` or `access_logs.open_telemetry_access_log.` with the log's prefix.
func (e *Exporter) counters(c *config.RemoteLog) export.Counters {
	prefix := "access_logs.grpc_access_log."
	if c.Kind == config.OTelLog {
		prefix = "access_logs.open_telemetry_access_log."
		if name := strings.TrimSuffix(c.StatPrefix, "."); name != "" {
			prefix += name + "."
		}
	}
	return export.Counters{Sent: e.opts.Store.Counter(prefix + "logs_written"), Dropped: e.opts.Store.Counter(prefix + "logs_dropped")}
}
