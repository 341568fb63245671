package xds

import (
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

const defaultPathTag = 256

// tracing decodes a manager's tracing, nil if it isn't set.
func (d *decoder) tracing(t *hcmv3.HttpConnectionManager_Tracing) *config.Tracing {
	if t == nil {
		return nil
	}
	out := &config.Tracing{
		Client:     d.percent("client_sampling", t.ClientSampling, perMillion),
		Random:     d.percent("random_sampling", t.RandomSampling, perMillion),
		Overall:    d.percent("overall_sampling", t.OverallSampling, perMillion),
		MaxPathTag: number(t.MaxPathTagLength, defaultPathTag),
		Spawn:      truth(t.SpawnUpstreamSpan, false), Silent: t.NoContextPropagation,
		Operation: d.operation("operation", t.Operation), UpstreamOperation: d.operation("upstream_operation", t.UpstreamOperation),
		Tags: d.traceTags(t.CustomTags),
	}
	d.noEffect(t.Verbose, "verbose")
	d.in("provider", func() { out.Provider = d.traceProvider(t.Provider) })
	return out
}

func (d *decoder) routeTracing(t *routev3.Tracing) *config.RouteTracing {
	if t == nil {
		return nil
	}
	out := &config.RouteTracing{
		Client: perMillion, Random: perMillion, Overall: perMillion,
		Operation: d.operation("operation", t.Operation), UpstreamOperation: d.operation("upstream_operation", t.UpstreamOperation),
		Tags: d.traceTags(t.CustomTags),
	}
	if t.ClientSampling != nil {
		d.in("client_sampling", func() { out.Client = d.parts(t.ClientSampling) })
	}
	if t.RandomSampling != nil {
		d.in("random_sampling", func() { out.Random = d.parts(t.RandomSampling) })
	}
	if t.OverallSampling != nil {
		d.in("overall_sampling", func() { out.Overall = d.parts(t.OverallSampling) })
	}
	return out
}

// operation decodes a span's name, nil if it isn't set.
func (d *decoder) operation(field, source string) (out *config.Format) {
	if source != "" {
		d.in(field, func() {
			if out = d.format(source); out != nil {
				out.OmitEmpty = true
			}
		})
	}
	return out
}

// traceTags decodes custom tags. Of two with one name the last counts.
func (d *decoder) traceTags(list []*tracingv3.CustomTag) (out []config.TraceTag) {
	for i, t := range list {
		d.at("custom_tags", i, func() {
			tag, ok := d.traceTag(t)
			if t.GetTag() == "" {
				d.failIn("tag", "empty")
			}
			out = slices.DeleteFunc(out, func(old config.TraceTag) bool { return old.Name == tag.Name })
			if ok {
				out = append(out, tag)
			}
		})
	}
	return out
}

// traceTag writes a tag as a format; not ok: its kind isn't known, which costs the tag.
func (d *decoder) traceTag(t *tracingv3.CustomTag) (out config.TraceTag, ok bool) {
	out.Name = d.intern(t.GetTag())
	source := ""
	switch s := t.GetType().(type) {
	case *tracingv3.CustomTag_Literal_:
		source = strings.ReplaceAll(s.Literal.GetValue(), "%", "%%")
	case *tracingv3.CustomTag_Environment_:
		source, out.Missing = "%ENVIRONMENT("+s.Environment.GetName()+")%", s.Environment.GetDefaultValue()
	case *tracingv3.CustomTag_RequestHeader:
		source, out.Missing = "%REQ("+s.RequestHeader.GetName()+")%", s.RequestHeader.GetDefaultValue()
	case *tracingv3.CustomTag_Metadata_:
		source, out.Missing = metadataSource(s.Metadata), s.Metadata.GetDefaultValue()
	case *tracingv3.CustomTag_Value:
		source = s.Value
	}
	if source == "" && t.GetLiteral() == nil {
		d.note(Degraded, t.GetTag())
		return out, false
	}
	if f := d.format(source); f != nil {
		out.Value = *f
		out.Value.OmitEmpty = true
	}
	return out, true
}

// metadataSource is the format of one piece of metadata; empty: none names it.
func metadataSource(m *tracingv3.CustomTag_Metadata) string {
	kinds := []struct {
		name string
		set  bool
	}{
		{"DYNAMIC", m.GetKind().GetRequest() != nil}, {"ROUTE", m.GetKind().GetRoute() != nil},
		{"CLUSTER", m.GetKind().GetCluster() != nil}, {"UPSTREAM_HOST", m.GetKind().GetHost() != nil},
	}
	for _, k := range kinds {
		if k.set {
			path := []string{k.name, m.GetMetadataKey().GetKey()}
			for _, segment := range m.GetMetadataKey().GetPath() {
				path = append(path, segment.GetKey())
			}
			return "%METADATA(" + strings.Join(path, ":") + ")%"
		}
	}
	return ""
}
