package xds

import (
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func TestZoneAware(t *testing.T) {
	policy := func(kind, fields string) string {
		return clusterOf(`load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.` + kind + `, ` + fields + `}}}]}`)
	}
	usual := config.ZoneAware{PerMillion: 1e6, MinHosts: 6}
	for name, c := range map[string]struct {
		text string
		want config.ZoneAware
		note bool
	}{
		"unset":         {clusterOf(""), usual, false}, // as Envoy: what switches it on is the local cluster
		"empty":         {clusterOf("common_lb_config: {zone_aware_lb_config: {}}"), usual, false},
		"all of it":     {clusterOf("common_lb_config: {zone_aware_lb_config: {routing_enabled: {value: 12.5}, min_cluster_size: 3, fail_traffic_on_panic: true}}"), config.ZoneAware{PerMillion: 125_000, MinHosts: 3, FailOnPanic: true}, false},
		"weighted":      {clusterOf("common_lb_config: {locality_weighted_lb_config: {}}"), config.ZoneAware{}, false},
		"a ring":        {clusterOf("lb_policy: RING_HASH\ncommon_lb_config: {zone_aware_lb_config: {}}"), config.ZoneAware{}, true},
		"forced":        {policy("round_robin.v3.RoundRobin", "locality_lb_config: {zone_aware_lb_config: {force_local_zone: {min_size: 4}, locality_basis: HEALTHY_HOSTS_WEIGHT}}"), config.ZoneAware{PerMillion: 1e6, MinHosts: 6, ForceLocal: 4, ByWeight: true}, false},
		"forced, least": {policy("least_request.v3.LeastRequest", "locality_lb_config: {zone_aware_lb_config: {force_local_zone: {}, min_cluster_size: 0}}"), config.ZoneAware{PerMillion: 1e6, ForceLocal: 1}, false},
		"direct":        {policy("round_robin.v3.RoundRobin", "locality_lb_config: {zone_aware_lb_config: {force_locality_direct_routing: true}}"), config.ZoneAware{PerMillion: 1e6, MinHosts: 6, ForceLocal: 1}, false},
	} {
		v, needs, err := Cluster(clusterYAML(t, c.text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if v.LB.Zones != c.want || (len(needs.Notes) > 0) != c.note {
			t.Errorf("%s: %+v, %v", name, v.LB.Zones, needs.Notes)
		}
	}
	if _, _, err := Cluster(clusterYAML(t, clusterOf("common_lb_config: {zone_aware_lb_config: {routing_enabled: {value: 101}}}")), nil); err == nil {
		t.Error("101 % was taken")
	}
}
