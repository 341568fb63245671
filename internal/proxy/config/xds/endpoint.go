package xds

import (
	"maps"
	"net/netip"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// maxPriority is Envoy's highest.
const maxPriority = 128

// assignment decodes a resource of EDS.
func (d *decoder) assignment(raw []byte) *config.Endpoints {
	var m endpointv3.ClusterLoadAssignment
	if !d.parse(raw, &m) {
		return nil
	}
	if m.ClusterName == "" {
		d.failIn("cluster_name", "empty")
	}
	return d.endpoints(&m, false)
}

// endpoints decodes a ClusterLoadAssignment; names tells that hosts are names to be looked up.
func (d *decoder) endpoints(m *endpointv3.ClusterLoadAssignment, names bool) *config.Endpoints {
	out := &config.Endpoints{}
	shared := &metadataCache{}
	for i, l := range m.GetEndpoints() {
		d.at("endpoints", i, func() { out.Localities = append(out.Localities, d.locality(l, shared, names)) })
	}
	if len(m.GetNamedEndpoints()) > 0 {
		d.failIn("named_endpoints", "not supported")
	}
	if p := m.GetPolicy(); p != nil {
		d.in("policy", func() { d.assignmentPolicy(p, out) })
	}
	return out
}

func (d *decoder) assignmentPolicy(p *endpointv3.ClusterLoadAssignment_Policy, out *config.Endpoints) {
	if out.Overprovisioned = number(p.OverprovisioningFactor, 0); p.OverprovisioningFactor != nil && out.Overprovisioned == 0 {
		d.failIn("overprovisioning_factor", "zero")
	}
	kept := 1.0 // what several categories leave, one after the other
	for i, o := range p.DropOverloads {
		d.at("drop_overloads", i, func() { kept *= 1 - float64(d.parts(o.GetDropPercentage()))/perMillion })
	}
	out.DropPerMillion = uint32((1-kept)*perMillion + 0.5)
	d.noEffect(p.EndpointStaleAfter != nil, "endpoint_stale_after")
	d.noEffect(p.WeightedPriorityHealth, "weighted_priority_health")
}

func (d *decoder) locality(l *endpointv3.LocalityLbEndpoints, shared *metadataCache, names bool) config.Locality {
	out := config.Locality{
		Region: d.intern(l.GetLocality().GetRegion()), Zone: d.intern(l.GetLocality().GetZone()),
		SubZone: d.intern(l.GetLocality().GetSubZone()), Priority: l.GetPriority(),
		Weight: number(l.GetLoadBalancingWeight(), 0),
	}
	if out.Priority > maxPriority {
		d.failIn("priority", "%d is above %d", out.Priority, maxPriority)
	}
	if l.GetLbConfig() != nil {
		d.fail("endpoints of a locality by themselves (leds, load_balancer_endpoints) are not supported")
	}
	hosts := make([]config.Endpoint, len(l.GetLbEndpoints())) // one allocation for all
	out.Hosts = make([]*config.Endpoint, len(hosts))
	for i, e := range l.GetLbEndpoints() {
		d.at("lb_endpoints", i, func() { d.endpoint(e, shared, names, &hosts[i]) })
		out.Hosts[i] = &hosts[i]
	}
	return out
}

func (d *decoder) endpoint(e *endpointv3.LbEndpoint, shared *metadataCache, names bool, out *config.Endpoint) {
	host := e.GetEndpoint()
	if host == nil {
		d.fail("no endpoint")
		return
	}
	out.Hostname, out.Weight = d.intern(host.Hostname), number(e.GetLoadBalancingWeight(), 0)
	if e.GetLoadBalancingWeight() != nil && out.Weight == 0 {
		d.failIn("load_balancing_weight", "zero")
	}
	out.Health, out.Status = d.health(e.GetHealthStatus()), uint8(e.GetHealthStatus())
	shared.fill(d, e.GetMetadata(), out)
	if own := e.GetMetadata().GetTypedFilterMetadata()[hostTLVs]; own != nil {
		d.in("metadata.typed_filter_metadata["+hostTLVs+"]", func() { out.Header = d.hostHeader(own) })
	}
	d.in("endpoint.address", func() { d.hostAddress(host.Address, names, out) })
	for i, a := range host.AdditionalAddresses {
		d.at("endpoint.additional_addresses", i, func() { out.Additional = append(out.Additional, d.socket(a.GetAddress())) })
	}
	c := host.HealthCheckConfig
	d.noEffect(c.GetPortValue() != 0 || c.GetHostname() != "" || c.GetAddress() != nil, "endpoint.health_check_config")
}

func (d *decoder) hostAddress(a *corev3.Address, names bool, out *config.Endpoint) {
	if p := a.GetPipe(); p != nil {
		if out.Pipe = p.Path; p.Path == "" {
			d.failIn("pipe.path", "empty")
		}
		return
	}
	if s := a.GetSocketAddress(); names && s != nil {
		if _, err := netip.ParseAddr(s.Address); err != nil {
			d.in("socket_address", func() { d.hostName(s, out) })
			return
		}
	}
	out.Address = d.socket(a)
}

func (d *decoder) hostName(s *corev3.SocketAddress, out *config.Endpoint) {
	if s.Address == "" {
		d.failIn("address", "empty")
	}
	out.Name, out.Port = d.intern(s.Address), d.socketPort(s)
}

func (d *decoder) health(h corev3.HealthStatus) config.Health {
	switch h {
	case corev3.HealthStatus_UNKNOWN, corev3.HealthStatus_HEALTHY:
		return config.Healthy
	case corev3.HealthStatus_DEGRADED:
		return config.Degraded
	case corev3.HealthStatus_DRAINING:
		return config.Draining
	default:
		return config.Unhealthy
	}
}

// maxKnownMetadata bounds with how many others the metadata of a host are compared.
const maxKnownMetadata = 8

// metadataCache shares the metadata of hosts that have the same: maps are most of what a host costs, and the pods of a
// Deployment differ in nothing.
type metadataCache struct {
	known []knownMetadata
	next  int // which one makes room
}

type knownMetadata struct {
	message *corev3.Metadata
	host    *config.Endpoint
}

func (c *metadataCache) fill(d *decoder, m *corev3.Metadata, out *config.Endpoint) {
	if len(m.GetFilterMetadata()) == 0 {
		return
	}
	for i := range c.known {
		if k := &c.known[i]; sameMetadata(k.message, m) {
			out.Metadata, out.Workload, out.TLSMatch = k.host.Metadata, k.host.Workload, k.host.TLSMatch
			return
		}
	}
	out.Metadata = plainMaps(m)
	out.Workload = d.intern(text(m.FilterMetadata["istio"], "workload"))
	out.TLSMatch = texts(m.FilterMetadata["envoy.transport_socket_match"])
	c.add(knownMetadata{m, out})
}

func (c *metadataCache) add(k knownMetadata) {
	if len(c.known) < maxKnownMetadata {
		c.known = append(c.known, k)
		return
	}
	c.known[c.next%maxKnownMetadata] = k
	c.next++
}

// sameMetadata compares without the reflection that proto.Equal needs.
func sameMetadata(a, b *corev3.Metadata) bool {
	return maps.EqualFunc(a.FilterMetadata, b.FilterMetadata, sameStruct)
}

func sameStruct(a, b *structpb.Struct) bool {
	return maps.EqualFunc(a.GetFields(), b.GetFields(), sameValue)
}

func sameValue(a, b *structpb.Value) bool {
	switch k := a.GetKind().(type) {
	case *structpb.Value_StringValue:
		other, ok := b.GetKind().(*structpb.Value_StringValue)
		return ok && k.StringValue == other.StringValue
	case *structpb.Value_NumberValue:
		other, ok := b.GetKind().(*structpb.Value_NumberValue)
		return ok && k.NumberValue == other.NumberValue
	case *structpb.Value_BoolValue:
		other, ok := b.GetKind().(*structpb.Value_BoolValue)
		return ok && k.BoolValue == other.BoolValue
	case *structpb.Value_StructValue:
		other, ok := b.GetKind().(*structpb.Value_StructValue)
		return ok && sameStruct(k.StructValue, other.StructValue)
	case *structpb.Value_ListValue:
		other, ok := b.GetKind().(*structpb.Value_ListValue)
		return ok && slices.EqualFunc(k.ListValue.GetValues(), other.ListValue.GetValues(), sameValue)
	case *structpb.Value_NullValue:
		_, ok := b.GetKind().(*structpb.Value_NullValue)
		return ok
	}
	return false
}
