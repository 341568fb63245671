package xds

import (
	"fmt"
	"slices"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

func (d *decoder) statsConfig(c *metricsv3.StatsConfig, out *BootstrapConfig) {
	out.DefaultTags = truth(c.GetUseAllDefaultTags(), true)
	for i, t := range c.GetStatsTags() {
		d.at("stats_tags", i, func() { d.statsTag(t, out) })
	}
	d.in("stats_matcher", func() { d.statsMatcher(c.GetStatsMatcher(), &out.StatsMatcher) })
	d.noEffect(len(c.GetHistogramBucketSettings()) > 0, "histogram_bucket_settings")
}

// ownTags are the tags that Prometheus's names are made with here, whatever regex is given for them.
var ownTags = []string{
	"cluster_name", "tcp_prefix", "response_code", "response_code_class", "http_conn_manager_prefix", "listener_address",
	"authz_enforce_result", "authz_dry_run_result",
}

// statsTag keeps a tag of a fixed value. Names aren't taken apart by regexes: each would run over each name.
func (d *decoder) statsTag(t *metricsv3.TagSpecifier, out *BootstrapConfig) {
	if t.GetRegex() != "" {
		d.in("regex", func() { d.regex(t.GetRegex()) })
	}
	switch {
	case t.GetFixedValue() != "":
		out.StatsTags = append(out.StatsTags, StatsTag{t.GetTagName(), t.GetFixedValue()})
	case !slices.Contains(ownTags, t.GetTagName()):
		d.note(NoEffect, t.GetTagName())
	}
}

func (d *decoder) statsMatcher(m *metricsv3.StatsMatcher, out *StatsMatcher) {
	switch s := m.GetStatsMatcher().(type) {
	case *metricsv3.StatsMatcher_RejectAll:
		out.RejectAll = s.RejectAll
	case *metricsv3.StatsMatcher_InclusionList:
		out.Include = d.stringMatches("inclusion_list.patterns", s.InclusionList.GetPatterns())
	case *metricsv3.StatsMatcher_ExclusionList:
		out.Exclude = d.stringMatches("exclusion_list.patterns", s.ExclusionList.GetPatterns())
	}
}

// layers flattens the static layers.
func (d *decoder) layers(r *bootstrapv3.LayeredRuntime, out *BootstrapConfig) {
	for i, l := range r.GetLayers() {
		d.at("layers", i, func() {
			switch s := l.GetLayerSpecifier().(type) {
			case *bootstrapv3.RuntimeLayer_StaticLayer:
				layer := RuntimeLayer{Name: l.GetName(), Values: map[string]string{}}
				d.flatten("", s.StaticLayer, layer.Values)
				out.Runtime = append(out.Runtime, layer)
			case *bootstrapv3.RuntimeLayer_AdminLayer_:
				out.AdminLayer = true
			default:
				d.note(NoEffect, l.GetName())
			}
		})
	}
}

func (d *decoder) flatten(prefix string, s *structpb.Struct, out map[string]string) {
	for key, v := range s.GetFields() {
		switch k := v.GetKind().(type) {
		case *structpb.Value_StructValue:
			d.in(key, func() { d.flatten(prefix+key+".", k.StructValue, out) })
		case *structpb.Value_StringValue:
			out[prefix+key] = k.StringValue
		default:
			out[prefix+key] = fmt.Sprint(v.AsInterface())
		}
	}
}
