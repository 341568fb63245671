package xds

import (
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/cel"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) accessLogs(field string, list []*accesslogv3.AccessLog) (out []*config.AccessLog) {
	for i, l := range list {
		d.step(segment{field, i, l.GetName()}, func() {
			if log := d.accessLog(l); log != nil {
				out = append(out, log)
			}
		})
	}
	return out
}

// accessLog decodes a log; nil: its sink isn't built, which only costs its lines.
func (d *decoder) accessLog(l *accesslogv3.AccessLog) *config.AccessLog {
	out := &config.AccessLog{Name: d.intern(l.GetName())}
	t := d.open(l.GetTypedConfig())
	switch t.message {
	case fileLogType:
		d.fileLog(t, out)
	case stdoutLogType:
		var m streamv3.StdoutAccessLog
		d.into(t, &m)
		out.Path, out.Format = "/dev/stdout", d.formatString(m.GetLogFormat())
	case stderrLogType:
		var m streamv3.StderrAccessLog
		d.into(t, &m)
		out.Path, out.Format = "/dev/stderr", d.formatString(m.GetLogFormat())
	case httpLogType, tcpLogType, otelLogType:
		if out.Remote = d.remoteLog(t); out.Remote == nil {
			d.note(Degraded, l.GetName())
			return nil
		}
	default:
		d.note(Degraded, l.GetName())
		return nil
	}
	if l.GetFilter() != nil {
		d.in("filter", func() { out.Filter = d.logFilter(l.GetFilter()) })
	}
	return out
}

func (d *decoder) fileLog(t typed, out *config.AccessLog) {
	var m filev3.FileAccessLog
	if !d.into(t, &m) {
		return
	}
	if out.Path = d.intern(m.Path); m.Path == "" {
		d.failIn("path", "empty")
	}
	switch f := m.AccessLogFormat.(type) {
	case nil:
	case *filev3.FileAccessLog_LogFormat:
		d.in("log_format", func() { out.Format = d.formatString(f.LogFormat) })
	case *filev3.FileAccessLog_Format:
		if f.Format != "" {
			d.in("format", func() { out.Format = d.format(f.Format) })
		}
	case *filev3.FileAccessLog_JsonFormat:
		d.in("json_format", func() { out.Format = &config.Format{JSON: d.jsonFields(f.JsonFormat)} })
	case *filev3.FileAccessLog_TypedJsonFormat:
		d.in("typed_json_format", func() { out.Format = &config.Format{JSON: d.jsonFields(f.TypedJsonFormat)} })
	}
}

func (d *decoder) logFilter(f *accesslogv3.AccessLogFilter) *config.LogFilter {
	out := &config.LogFilter{}
	switch s := f.GetFilterSpecifier().(type) {
	case *accesslogv3.AccessLogFilter_StatusCodeFilter:
		d.comparison("status_code_filter", config.LogStatus, s.StatusCodeFilter.GetComparison(), out)
	case *accesslogv3.AccessLogFilter_DurationFilter:
		d.comparison("duration_filter", config.LogDuration, s.DurationFilter.GetComparison(), out)
	case *accesslogv3.AccessLogFilter_NotHealthCheckFilter:
		out.Kind = config.LogNotHealthCheck
	case *accesslogv3.AccessLogFilter_TraceableFilter:
		out.Kind = config.LogTraceable
	case *accesslogv3.AccessLogFilter_RuntimeFilter:
		out.Kind = config.LogRuntime
		d.in("runtime_filter", func() {
			out.Fraction = d.fraction("percent_sampled", runtimeFraction(s.RuntimeFilter))
		})
	case *accesslogv3.AccessLogFilter_AndFilter:
		out.Kind, out.Filters = config.LogAnd, d.logFilters("and_filter.filters", s.AndFilter.GetFilters())
	case *accesslogv3.AccessLogFilter_OrFilter:
		out.Kind, out.Filters = config.LogOr, d.logFilters("or_filter.filters", s.OrFilter.GetFilters())
	case *accesslogv3.AccessLogFilter_HeaderFilter:
		out.Kind = config.LogHeader
		d.in("header_filter.header", func() { out.Header = d.headerMatch(s.HeaderFilter.GetHeader()) })
	case *accesslogv3.AccessLogFilter_ResponseFlagFilter:
		out.Kind, out.Flags = config.LogFlags, slices.Clone(s.ResponseFlagFilter.GetFlags())
	case *accesslogv3.AccessLogFilter_GrpcStatusFilter:
		d.grpcStatuses(s.GrpcStatusFilter, out)
	case *accesslogv3.AccessLogFilter_ExtensionFilter:
		d.in("extension_filter", func() { d.logExtension(s.ExtensionFilter, out) })
	case nil:
		d.fail("no filter in it")
	default:
		// metadata and log type filters: what they would take can't be told, so nothing is logged.
		out.Kind = config.LogNone
		d.note(Degraded, "filter")
	}
	return out
}

// logExtension decodes a filter that is an expression of CEL. Of any other it can't be told what it would take.
func (d *decoder) logExtension(f *accesslogv3.ExtensionFilter, out *config.LogFilter) {
	t := d.open(f.GetTypedConfig())
	if t.message != celFilterType {
		out.Kind = config.LogNone
		d.note(Degraded, f.GetName())
		return
	}
	var m celv3.ExpressionFilter
	if !d.into(t, &m) {
		return
	}
	out.Kind, out.Expression = config.LogExpression, d.intern(m.Expression)
	d.noEffect(m.CelConfig != nil, "cel_config")
	if _, err := cel.Compile(m.Expression); err != nil {
		d.failIn("expression", "%s", err)
	}
}

func runtimeFraction(f *accesslogv3.RuntimeFilter) *corev3.RuntimeFractionalPercent {
	return &corev3.RuntimeFractionalPercent{RuntimeKey: f.GetRuntimeKey(), DefaultValue: f.GetPercentSampled()}
}

func (d *decoder) logFilters(field string, list []*accesslogv3.AccessLogFilter) []*config.LogFilter {
	out := make([]*config.LogFilter, 0, len(list))
	for i, f := range list {
		d.at(field, i, func() { out = append(out, d.logFilter(f)) })
	}
	return out
}

func (d *decoder) comparison(field string, kind config.LogFilterKind, c *accesslogv3.ComparisonFilter, out *config.LogFilter) {
	d.in(field+".comparison", func() {
		out.Kind, out.Value = kind, c.GetValue().GetDefaultValue()
		out.Op = choose(d, "op", int32(c.GetOp()), []config.CompareOp{
			config.Equal, config.GreaterOrEqual, config.LessOrEqual, config.NotEqual,
		})
	})
}

func (d *decoder) grpcStatuses(f *accesslogv3.GrpcStatusFilter, out *config.LogFilter) {
	out.Kind, out.Exclude = config.LogGRPC, f.GetExclude()
	for i, s := range f.GetStatuses() {
		if s < 0 || s > 16 {
			d.at("grpc_status_filter.statuses", i, func() { d.fail("unknown status %d", s) })
		}
		out.Statuses = append(out.Statuses, uint32(s))
	}
}
