package xds

import (
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	leastv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	ringv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/ring_hash/v3"
	robinv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Envoy's defaults and bounds.
const (
	defaultChoices   = 2
	defaultRingMin   = 1024
	maxRing          = 8 << 20
	defaultTableSize = 65537
	maxTableSize     = 5000011
	defaultPanic     = 50
	defaultMinZoned  = 6
)

func (d *decoder) loadBalancing(m *clusterv3.Cluster, out *config.Cluster) {
	lb := &out.LB
	*lb = config.LB{
		Choices: defaultChoices, Bias: 1, RingMin: defaultRingMin, RingMax: maxRing, TableSize: defaultTableSize,
		PanicPercent: defaultPanic, Aggression: 1, CloseOnUnhealthy: m.CloseConnectionsOnHostHealthFailure,
		Zones: config.ZoneAware{PerMillion: perMillion, MinHosts: defaultMinZoned},
	}
	d.in("common_lb_config", func() { d.commonLB(m.CommonLbConfig, lb) })
	d.in("lb_subset_config", func() { d.subsets(m.LbSubsetConfig, lb) })
	if m.LoadBalancingPolicy != nil {
		d.in("load_balancing_policy", func() { d.policyList(m.LoadBalancingPolicy, lb) })
	} else {
		d.lbPolicy(m, lb)
	}
	switch lb.Policy { // with others nothing is chosen by zone, and weighted localities are not this proxy's
	case config.LBRoundRobin, config.LBLeastRequest, config.LBRandom:
		if lb.LocalityWeighted {
			lb.Zones = config.ZoneAware{}
		}
	default:
		d.noEffect(m.GetCommonLbConfig().GetZoneAwareLbConfig() != nil, "zone_aware_lb_config")
		lb.Zones = config.ZoneAware{}
	}
	if (out.Kind == config.OriginalDst) != (lb.Policy == config.LBClusterProvided) && m.GetClusterType() == nil {
		d.failIn("lb_policy", "CLUSTER_PROVIDED belongs to ORIGINAL_DST clusters and to no others")
	}
}

func (d *decoder) lbPolicy(m *clusterv3.Cluster, lb *config.LB) {
	switch m.LbPolicy {
	case clusterv3.Cluster_ROUND_ROBIN:
		d.in("round_robin_lb_config", func() { d.slowStart(m.GetRoundRobinLbConfig().GetSlowStartConfig(), lb) })
	case clusterv3.Cluster_LEAST_REQUEST:
		lb.Policy = config.LBLeastRequest
		c := m.GetLeastRequestLbConfig()
		d.in("least_request_lb_config", func() { d.leastRequest(c.GetChoiceCount(), c.GetActiveRequestBias(), lb) })
		d.in("least_request_lb_config", func() { d.slowStart(c.GetSlowStartConfig(), lb) })
	case clusterv3.Cluster_RANDOM:
		lb.Policy = config.LBRandom
	case clusterv3.Cluster_RING_HASH:
		c := m.GetRingHashLbConfig()
		d.in("ring_hash_lb_config", func() {
			d.ring(c.GetMinimumRingSize(), c.GetMaximumRingSize(), c.GetHashFunction() == clusterv3.Cluster_RingHashLbConfig_XX_HASH, lb)
		})
	case clusterv3.Cluster_MAGLEV:
		d.in("maglev_lb_config", func() { d.maglev(m.GetMaglevLbConfig().GetTableSize(), lb) })
	case clusterv3.Cluster_CLUSTER_PROVIDED:
		lb.Policy = config.LBClusterProvided
	default:
		d.failIn("lb_policy", "value %d is not supported", m.LbPolicy)
	}
}

// slowStartMessage is what the older and the newer message have in common.
type slowStartMessage interface {
	GetAggression() *corev3.RuntimeDouble
	GetMinWeightPercent() *typev3.Percent
}

func (d *decoder) slowStart(c *clusterv3.Cluster_SlowStartConfig, lb *config.LB) {
	if c != nil {
		lb.SlowStart = d.duration("slow_start_config.slow_start_window", c.SlowStartWindow, 0)
		d.aggression(c, lb)
	}
}

func (d *decoder) newSlowStart(c *commonv3.SlowStartConfig, lb *config.LB) {
	if c != nil {
		lb.SlowStart = d.duration("slow_start_config.slow_start_window", c.SlowStartWindow, 0)
		d.aggression(c, lb)
	}
}

func (d *decoder) aggression(c slowStartMessage, lb *config.LB) {
	if a := c.GetAggression(); a != nil {
		if lb.Aggression = a.DefaultValue; !(a.DefaultValue > 0) {
			d.failIn("slow_start_config.aggression", "%v is not above zero", a.DefaultValue)
		}
	}
	d.noEffect(c.GetMinWeightPercent() != nil, "slow_start_config.min_weight_percent")
}

func (d *decoder) leastRequest(choices *wrapperspb.UInt32Value, bias *corev3.RuntimeDouble, lb *config.LB) {
	if lb.Choices = number(choices, defaultChoices); lb.Choices < 2 {
		d.failIn("choice_count", "below 2")
	}
	if bias != nil {
		if lb.Bias = bias.DefaultValue; !(bias.DefaultValue >= 0) {
			d.failIn("active_request_bias", "%v is below zero", bias.DefaultValue)
		}
	}
}

func (d *decoder) ring(least, most *wrapperspb.UInt64Value, xxhash bool, lb *config.LB) {
	lb.Policy = config.LBRingHash
	lb.RingMin, lb.RingMax = number64(least, defaultRingMin), number64(most, maxRing)
	if lb.RingMin > lb.RingMax || lb.RingMax > maxRing {
		d.fail("a ring of %d to %d: not in order or above %d", lb.RingMin, lb.RingMax, maxRing)
	}
	if !xxhash {
		d.failIn("hash_function", "only XX_HASH is supported")
	}
}

func (d *decoder) maglev(size *wrapperspb.UInt64Value, lb *config.LB) {
	lb.Policy = config.LBMaglev
	if lb.TableSize = number64(size, defaultTableSize); lb.TableSize > maxTableSize || !isPrime(lb.TableSize) {
		d.failIn("table_size", "%d is not a prime of at most %d", lb.TableSize, maxTableSize)
	}
}

func isPrime(n uint64) bool {
	for i := uint64(2); i*i <= n; i++ {
		if n%i == 0 {
			return false
		}
	}
	return n > 1
}

func (d *decoder) commonLB(c *clusterv3.Cluster_CommonLbConfig, lb *config.LB) {
	if p := c.GetHealthyPanicThreshold(); p != nil {
		lb.PanicPercent = float64(d.percent("healthy_panic_threshold", p, 0)) / (perMillion / 100)
	}
	lb.LocalityWeighted = c.GetLocalityWeightedLbConfig() != nil
	if z := c.GetZoneAwareLbConfig(); z != nil {
		d.in("zone_aware_lb_config", func() { d.zones(z, &lb.Zones) })
	}
	d.hashing(c.GetConsistentHashingLbConfig(), lb)
	d.noEffect(c.GetCloseConnectionsOnHostSetChange(), "close_connections_on_host_set_change")
	d.noEffect(c.GetIgnoreNewHostsUntilFirstHc(), "ignore_new_hosts_until_first_hc")
	d.in("override_host_status", func() { lb.Overridable = d.overridable(c.GetOverrideHostStatus()) })
}

// overridable are the health statuses of hosts that a request may be bound to. An empty set is none.
func (d *decoder) overridable(set *corev3.HealthStatusSet) (out config.HealthStatuses) {
	if set == nil {
		return 1<<config.StatusUnknown | 1<<config.StatusHealthy | 1<<config.StatusDegraded
	}
	for i, status := range set.Statuses {
		if status < 0 || status > corev3.HealthStatus_DEGRADED {
			d.at("statuses", i, func() { d.fail("value %d is not supported", status) })
			continue
		}
		out |= 1 << status
	}
	return out
}

// zonesMessage is what the older and the newer message have in common.
type zonesMessage interface {
	GetRoutingEnabled() *typev3.Percent
	GetMinClusterSize() *wrapperspb.UInt64Value
	GetFailTrafficOnPanic() bool
}

func (d *decoder) zones(c zonesMessage, out *config.ZoneAware) {
	*out = config.ZoneAware{
		PerMillion: d.percent("routing_enabled", c.GetRoutingEnabled(), perMillion),
		MinHosts:   number64(c.GetMinClusterSize(), defaultMinZoned), FailOnPanic: c.GetFailTrafficOnPanic(),
	}
}

func (d *decoder) newZones(c *commonv3.LocalityLbConfig_ZoneAwareLbConfig, out *config.ZoneAware) {
	d.zones(c, out)
	if c.GetForceLocalityDirectRouting() { //nolint:staticcheck // whoever sends it means it
		out.ForceLocal = 1
	}
	if f := c.GetForceLocalZone(); f != nil {
		out.ForceLocal = max(number(f.MinSize, 1), 1)
	}
	out.ByWeight = choose(d, "locality_basis", int32(c.GetLocalityBasis()), []bool{false, true})
}

// hashingMessage is what the older and the newer message have in common.
type hashingMessage interface {
	GetUseHostnameForHashing() bool
	GetHashBalanceFactor() *wrapperspb.UInt32Value
}

func (d *decoder) hashing(c hashingMessage, lb *config.LB) {
	lb.HashHostname = lb.HashHostname || c.GetUseHostnameForHashing()
	if f := c.GetHashBalanceFactor(); f != nil {
		if lb.BalanceFactor = f.Value; f.Value < 100 {
			d.failIn("hash_balance_factor", "below 100")
		}
	}
}

func (d *decoder) subsets(c *clusterv3.Cluster_LbSubsetConfig, lb *config.LB) {
	if len(c.GetSubsetSelectors()) == 0 {
		return
	}
	lb.Subsets = &config.Subsets{Default: c.DefaultSubset.AsMap()}
	lb.Subsets.Fallback = choose(d, "fallback_policy", int32(c.FallbackPolicy), []config.SubsetFallback{
		config.SubsetNone, config.SubsetAny, config.SubsetDefault,
	})
	for _, s := range c.SubsetSelectors {
		keys := slices.Clone(s.GetKeys())
		slices.Sort(keys)
		lb.Subsets.Selectors = append(lb.Subsets.Selectors, keys)
	}
	d.noEffect(c.LocalityWeightAware, "locality_weight_aware")
	d.noEffect(c.PanicModeAny, "panic_mode_any")
	d.noEffect(c.ListAsAny, "list_as_any")
}

// policyList takes the first policy that is known.
func (d *decoder) policyList(p *clusterv3.LoadBalancingPolicy, lb *config.LB) {
	for i, each := range p.Policies {
		e := each.GetTypedExtensionConfig()
		known := false
		d.step(segment{"policies", i, e.GetName()}, func() { known = d.newPolicy(d.open(e.GetTypedConfig()), lb) })
		if known {
			return
		}
	}
	d.fail("none of the policies is supported")
}

func (d *decoder) newPolicy(t typed, lb *config.LB) bool {
	switch t.message {
	case lbRoundRobin:
		var m robinv3.RoundRobin
		if d.into(t, &m) {
			d.newSlowStart(m.SlowStartConfig, lb)
			d.newLocality(m.LocalityLbConfig, lb)
		}
	case lbLeastRequest:
		var m leastv3.LeastRequest
		if d.into(t, &m) {
			lb.Policy = config.LBLeastRequest
			d.leastRequest(m.ChoiceCount, m.ActiveRequestBias, lb)
			d.newSlowStart(m.SlowStartConfig, lb)
			d.newLocality(m.LocalityLbConfig, lb)
		}
	case lbRandom:
		lb.Policy = config.LBRandom
	case lbRingHash:
		d.newRing(t, lb)
	case lbMaglev:
		d.newMaglev(t, lb)
	case lbProvided:
		lb.Policy = config.LBClusterProvided
	default:
		return false
	}
	return true
}

func (d *decoder) newLocality(c *commonv3.LocalityLbConfig, lb *config.LB) {
	lb.LocalityWeighted = lb.LocalityWeighted || c.GetLocalityWeightedLbConfig() != nil
	if z := c.GetZoneAwareLbConfig(); z != nil {
		d.in("locality_lb_config.zone_aware_lb_config", func() { d.newZones(z, &lb.Zones) })
	}
}

func (d *decoder) newRing(t typed, lb *config.LB) {
	var m ringv3.RingHash
	if !d.into(t, &m) {
		return
	}
	d.ring(m.MinimumRingSize, m.MaximumRingSize, m.HashFunction != ringv3.RingHash_MURMUR_HASH_2, lb)
	d.hashing(&m, lb)
	d.hashing(m.ConsistentHashingLbConfig, lb)
	lb.LocalityWeighted = lb.LocalityWeighted || m.LocalityWeightedLbConfig != nil
}

func (d *decoder) newMaglev(t typed, lb *config.LB) {
	var m maglevv3.Maglev
	if !d.into(t, &m) {
		return
	}
	d.maglev(m.TableSize, lb)
	d.hashing(m.ConsistentHashingLbConfig, lb)
	lb.LocalityWeighted = lb.LocalityWeighted || m.LocalityWeightedLbConfig != nil
}
