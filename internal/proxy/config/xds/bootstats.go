package xds

import (
	"cmp"
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

func compareTexts(a, b string) int { return cmp.Compare(a, b) }

func (d *decoder) statsConfig(c *metricsv3.StatsConfig, out *BootstrapConfig) {
	out.DefaultTags = truth(c.GetUseAllDefaultTags(), true)
	for i, t := range c.GetStatsTags() {
		d.at("stats_tags", i, func() { out.StatsTags = append(out.StatsTags, d.statsTag(t)) })
	}
	d.in("stats_matcher", func() { d.statsMatcher(c.GetStatsMatcher(), &out.StatsMatcher) })
	d.noEffect(len(c.GetHistogramBucketSettings()) > 0, "histogram_bucket_settings")
}

func (d *decoder) statsTag(t *metricsv3.TagSpecifier) StatsTag {
	out := StatsTag{Name: t.GetTagName(), Regex: t.GetRegex(), Fixed: t.GetFixedValue()}
	if out.Regex != "" {
		d.in("regex", func() { d.regex(out.Regex) })
	}
	return out
}

func (d *decoder) statsMatcher(m *metricsv3.StatsMatcher, out *StatsMatcher) {
	switch s := m.GetStatsMatcher().(type) {
	case *metricsv3.StatsMatcher_RejectAll:
		out.RejectAll = s.RejectAll
	case *metricsv3.StatsMatcher_InclusionList:
		out.Include = d.patterns("inclusion_list.patterns", s.InclusionList.GetPatterns())
	case *metricsv3.StatsMatcher_ExclusionList:
		out.Exclude = d.patterns("exclusion_list.patterns", s.ExclusionList.GetPatterns())
	}
}

func (d *decoder) patterns(field string, list []*matcherv3.StringMatcher) (out []StatsPattern) {
	for i, m := range list {
		d.at(field, i, func() {
			d.stringMatch(m)
			out = append(out, StatsPattern{
				Exact: m.GetExact(), Prefix: m.GetPrefix(), Suffix: m.GetSuffix(), Contains: m.GetContains(), Regex: m.GetSafeRegex().GetRegex(),
			})
		})
	}
	return out
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
