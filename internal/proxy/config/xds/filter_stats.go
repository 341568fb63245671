package xds

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
)

// stats.PluginConfig.
var statsSchema = []field{
	{number: 6, name: "disable_host_header_fallback", kind: asBool},
	{number: 7, name: "tcp_reporting_duration", kind: asDuration},
	{number: 8, name: "metrics", kind: asMessage, repeated: true, message: []field{
		{number: 1, name: "dimensions", kind: asTextMap},
		{number: 2, name: "name"},
		{number: 3, name: "tags_to_remove", repeated: true},
		{number: 4, name: "match"},
		{number: 5, name: "drop", kind: asBool},
	}},
	{number: 9, name: "definitions", kind: asMessage, repeated: true},
	{number: 10, name: "reporter", kind: asEnum, values: []string{"UNSPECIFIED", "SERVER_GATEWAY"}},
	{number: 11, name: "rescoping_duration", kind: asDuration},
	{number: 12, name: "scope_grace_period_duration", kind: asDuration},
}

// istioStats decodes the filter that counts Istio's metrics. What it can't do costs labels, not traffic.
func (d *decoder) istioStats(t typed) any {
	m := d.private(t, statsSchema)
	out := &config.IstioStats{
		DisableHostFallback: m.truth("disable_host_header_fallback"),
		ReportDuration:      as[time.Duration](m["tcp_reporting_duration"]),
		Reporter:            uint8(min(m.enum("reporter"), 1)),
	}
	for i, o := range m.objects("metrics") {
		d.at("metrics", i, func() { out.Metrics = append(out.Metrics, d.metricOverride(o)) })
	}
	if len(m.list("definitions")) > 0 {
		d.note(Degraded, "definitions")
	}
	return out
}

// metricOverride leaves out labels whose expressions go beyond the part of CEL that is known.
func (d *decoder) metricOverride(o object) config.MetricOverride {
	out := config.MetricOverride{Name: o.text("name"), Remove: o.texts("tags_to_remove"), Drop: o.truth("drop")}
	dimensions := as[map[string]string](o["dimensions"])
	for _, name := range sortedKeys(dimensions) {
		if _, err := format.CompileExpression(dimensions[name]); err != nil {
			d.note(Degraded, excerpt(name+": "+err.Error()))
			continue
		}
		if out.Labels == nil {
			out.Labels = map[string]*config.Format{}
		}
		out.Labels[name] = &config.Format{Source: dimensions[name]}
	}
	d.noEffect(o.text("match") != "", "match")
	return out
}
