package xds

import (
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) healthCheckFilter(t typed) any {
	var m healthv3.HealthCheck
	if !d.into(t, &m) {
		return nil
	}
	out := &config.HealthCheckFilter{
		PassThrough: truth(m.PassThroughMode, false), CacheTime: d.duration("cache_time", m.CacheTime, 0), Headers: d.headerMatches("headers", m.Headers),
	}
	if m.PassThroughMode == nil {
		d.failIn("pass_through_mode", "missing")
	}
	if !out.PassThrough && out.CacheTime > 0 {
		d.failIn("cache_time", "only with pass_through_mode")
	}
	d.noEffect(out.PassThrough && len(m.ClusterMinHealthyPercentages) > 0, "cluster_min_healthy_percentages")
	for _, name := range sortedKeys(m.ClusterMinHealthyPercentages) {
		percent := d.percent("cluster_min_healthy_percentages", m.ClusterMinHealthyPercentages[name], 0) / (perMillion / 100)
		if !out.PassThrough {
			out.Clusters = append(out.Clusters, config.ClusterHealth{Name: d.intern(name), Percent: percent})
		}
	}
	return out
}
