package remotelog

import (
	"context"
	"errors"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/export"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/unary"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// The methods.
const (
	streamMethod = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
	exportMethod = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
)

// Fields of StreamAccessLogsMessage and of ExportLogsServiceRequest.
const (
	messageIdentifier = 1
	messageHTTP       = 2
	messageTCP        = 3
	identifierNode    = 1
	identifierName    = 2
	entriesEntry      = 1

	reportResourceLogs = 1
	groupResource      = 1
	groupScopeLogs     = 2
	scopeRecords       = 2
	resourceAttributes = 1
)

// reporter sends reports to one collector.
type reporter struct {
	kind   config.RemoteLogKind
	client export.Client
	head   []byte // what all reports begin with: the identifier, or the resource
}

func (r *reporter) send(ctx context.Context, entries [][]byte) error {
	if r.kind == config.OTelLog {
		report := r.otelReport(entries)
		if r.client.Collector.GRPC {
			return r.client.Call(ctx, exportMethod, report)
		}
		return r.client.Post(ctx, "application/x-protobuf", report)
	}
	return taken(r.client.Call(ctx, streamMethod, r.streamMessage(entries)))
}

// Statuses with which a server ends a stream that it has read.
const (
	unknown  = 2
	canceled = 1
)

// taken forgives a server how it ends the stream: its answer says nothing of the entries, and servers are used to streams
// that never end. Many return the end of the stream as an error (UNKNOWN, "EOF"), or answer without a message.
func taken(err error) error {
	var status *unary.Error
	if errors.Is(err, unary.ErrFraming) || errors.As(err, &status) && (status.Status == unknown || status.Status == canceled) {
		return nil
	}
	return err
}

// identifier is the first field of a stream's first message.
func (e *Exporter) identifier(c *config.RemoteLog) []byte {
	var id []byte
	if len(e.opts.Node.Raw) > 0 {
		id = wire.AppendBytes(nil, identifierNode, e.opts.Node.Raw)
	}
	return wire.AppendBytes(nil, messageIdentifier, wire.AppendText(id, identifierName, c.Name))
}

// streamMessage is a StreamAccessLogsMessage; each is a stream of its own.
func (r *reporter) streamMessage(entries [][]byte) []byte {
	var list []byte
	for _, each := range entries {
		list = wire.AppendBytes(list, entriesEntry, each)
	}
	field := wire.Number(messageHTTP)
	if r.kind == config.TCPLog {
		field = messageTCP
	}
	return wire.AppendBytes(r.head[:len(r.head):len(r.head)], field, list)
}

// resource is the Resource message of a log's reports.
func (e *Exporter) resource(c *config.RemoteLog) (b []byte) {
	if !c.NoLabels {
		for _, label := range [][2]string{{"log_name", c.Name}, {"zone_name", e.opts.Node.Zone}, {"cluster_name", e.opts.Node.Cluster}, {"node_name", e.opts.Node.ID}} {
			b = wire.AppendBytes(b, resourceAttributes, pair(label[0], textValue(label[1])))
		}
	}
	for _, each := range compileFields(c.Resource) {
		b = wire.AppendBytes(b, resourceAttributes, pair(each.key, each.value.encode(nil)))
	}
	return b
}

// otelReport is an ExportLogsServiceRequest.
func (r *reporter) otelReport(records [][]byte) []byte {
	var scope []byte
	for _, each := range records {
		scope = wire.AppendBytes(scope, scopeRecords, each)
	}
	group := wire.AppendBytes(wire.AppendBytes(nil, groupResource, r.head), groupScopeLogs, scope)
	return wire.AppendBytes(nil, reportResourceLogs, group)
}
