package xds

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	otelv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Envoy's defaults of what waits to go together, and the path of OpenTelemetry's logs over HTTP.
const (
	defaultLogFlush  = time.Second
	defaultLogBuffer = 16 << 10
	logExportPath    = "/v1/logs"
)

// remoteLog decodes a log that goes to a collector; nil: to one that can't be reached, which only costs its entries.
func (d *decoder) remoteLog(t typed) *config.RemoteLog {
	out := &config.RemoteLog{}
	switch t.message {
	case httpLogType:
		var m grpcv3.HttpGrpcAccessLogConfig
		if !d.into(t, &m) {
			return out
		}
		out.Kind = config.HTTPLog
		out.RequestHeaders = d.lowered(m.AdditionalRequestHeadersToLog)
		out.ResponseHeaders = d.lowered(m.AdditionalResponseHeadersToLog)
		out.ResponseTrailers = d.lowered(m.AdditionalResponseTrailersToLog)
		d.in("common_config", func() { d.commonLog(m.CommonConfig, out) })
	case tcpLogType:
		var m grpcv3.TcpGrpcAccessLogConfig
		if !d.into(t, &m) {
			return out
		}
		out.Kind = config.TCPLog
		d.in("common_config", func() { d.commonLog(m.CommonConfig, out) })
	default:
		var m otelv3.OpenTelemetryAccessLogConfig
		if !d.into(t, &m) {
			return out
		}
		out.Kind = config.OTelLog
		d.otelLog(&m, out)
	}
	if out.Collector.Cluster == "" {
		return nil
	}
	return out
}

// commonLog decodes what all logs over gRPC have.
func (d *decoder) commonLog(c *grpcv3.CommonGrpcAccessLogConfig, out *config.RemoteLog) {
	if c.GetLogName() == "" {
		d.failIn("log_name", "empty")
	}
	if v := c.GetTransportApiVersion(); v == corev3.ApiVersion_V2 { //nolint:staticcheck // it is refused
		d.failIn("transport_api_version", "%s is not supported", v)
	}
	d.noEffect(c.GetGrpcStreamRetryPolicy() != nil, "grpc_stream_retry_policy")
	d.in("grpc_service", func() { d.collectorGRPC(c.GetGrpcService(), &out.Collector) })
	d.logBuffer(c.GetLogName(), c.GetBufferFlushInterval(), c.GetBufferSizeBytes(), out)
	d.logExtras(c.GetFilterStateObjectsToLog(), c.GetCustomTags(), out)
}

func (d *decoder) logBuffer(name string, flush *durationpb.Duration, buffer *wrapperspb.UInt32Value, out *config.RemoteLog) {
	out.Name, out.Buffer = d.intern(name), number(buffer, defaultLogBuffer)
	if out.Flush = d.duration("buffer_flush_interval", flush, defaultLogFlush); out.Flush <= 0 {
		d.failIn("buffer_flush_interval", "not above 0")
	}
}

func (d *decoder) logExtras(state []string, tags []*tracingv3.CustomTag, out *config.RemoteLog) {
	for _, key := range state {
		out.FilterState = append(out.FilterState, d.intern(key))
	}
	out.Tags = d.traceTags(tags)
}

// collectorGRPC decodes where a collector is. One that only google_grpc names can't be reached.
func (d *decoder) collectorGRPC(s *corev3.GrpcService, out *config.Collector) {
	var p config.TraceProvider
	d.spanGRPC(s, &p)
	*out = collectorOf(&p)
}

func collectorOf(p *config.TraceProvider) config.Collector {
	return config.Collector{Cluster: p.Cluster, GRPC: p.GRPC, Authority: p.Authority, Path: p.Path, Timeout: p.Timeout, Headers: p.Headers}
}
