package xds

import (
	otelv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// otelLog decodes an OpenTelemetry log. What newer fields say counts over common_config.
func (d *decoder) otelLog(m *otelv3.OpenTelemetryAccessLogConfig, out *config.RemoteLog) {
	c := m.GetCommonConfig() //nolint:staticcheck // deprecated, and what Istio sends
	if c != nil {
		d.in("common_config", func() { d.commonLog(c, out) })
	}
	if c == nil || m.GetLogName() != "" || m.BufferFlushInterval != nil || m.BufferSizeBytes != nil {
		name := m.GetLogName()
		if name == "" {
			name = c.GetLogName()
		}
		flush, buffer := m.BufferFlushInterval, m.BufferSizeBytes
		if flush == nil {
			flush = c.GetBufferFlushInterval()
		}
		if buffer == nil {
			buffer = c.GetBufferSizeBytes()
		}
		d.logBuffer(name, flush, buffer, out)
	}
	d.otelExtras(m, out)
	d.otelService(m, out)
	d.otelContent(m, out)
}

func (d *decoder) otelExtras(m *otelv3.OpenTelemetryAccessLogConfig, out *config.RemoteLog) {
	if len(m.FilterStateObjectsToLog) > 0 || len(m.CustomTags) > 0 {
		state, tags := out.FilterState, out.Tags
		d.logExtras(m.FilterStateObjectsToLog, m.CustomTags, out)
		out.FilterState, out.Tags = append(state, out.FilterState...), append(tags, out.Tags...)
	}
	for _, r := range m.ResourceDetectors {
		d.note(Degraded, "resource_detectors "+r.GetName())
	}
	d.formatters(m.Formatters)
	out.NoLabels, out.StatPrefix = m.DisableBuiltinLabels, d.intern(m.StatPrefix)
}

// otelService takes one of the three places that may say where the collector is.
func (d *decoder) otelService(m *otelv3.OpenTelemetryAccessLogConfig, out *config.RemoteLog) {
	switch {
	case m.GrpcService != nil && m.HttpService != nil:
		d.fail("grpc_service and http_service")
	case m.GrpcService != nil:
		d.in("grpc_service", func() { d.collectorGRPC(m.GrpcService, &out.Collector) })
	case m.HttpService != nil:
		var p config.TraceProvider
		d.in("http_service", func() { d.spanHTTP(m.HttpService, logExportPath, &p) })
		out.Collector = collectorOf(&p)
	}
}

func (d *decoder) otelContent(m *otelv3.OpenTelemetryAccessLogConfig, out *config.RemoteLog) {
	if m.Body != nil {
		d.in("body", func() {
			body := d.logValue(m.Body, true)
			out.Body = &body
		})
	}
	d.in("attributes", func() { out.Attributes = d.logFields(m.GetAttributes().GetValues(), true) })
	// Envoy sends these as they are, one report's for all its requests.
	d.in("resource_attributes", func() { out.Resource = d.logFields(m.GetResourceAttributes().GetValues(), false) })
}

func (d *decoder) logFields(list []*commonv1.KeyValue, formats bool) []config.LogField {
	out := make([]config.LogField, 0, len(list))
	for i, kv := range list {
		d.at("values", i, func() {
			out = append(out, config.LogField{Key: d.intern(kv.GetKey()), Value: d.logValue(kv.GetValue(), formats)})
		})
	}
	return out
}

// logValue decodes an AnyValue. Texts have operators if formats says so.
func (d *decoder) logValue(v *commonv1.AnyValue, formats bool) (out config.LogValue) {
	switch k := v.GetValue().(type) {
	case *commonv1.AnyValue_StringValue:
		if formats {
			out.Text = d.format(k.StringValue).Source
			return out
		}
	case *commonv1.AnyValue_KvlistValue:
		out.IsObject = true
		d.in("kvlist_value", func() { out.Fields = d.logFields(k.KvlistValue.GetValues(), formats) })
		return out
	case *commonv1.AnyValue_ArrayValue:
		out.IsList = true
		for i, each := range k.ArrayValue.GetValues() {
			d.at("array_value.values", i, func() { out.List = append(out.List, d.logValue(each, formats)) })
		}
		return out
	}
	out.Raw = marshal(v)
	return out
}
