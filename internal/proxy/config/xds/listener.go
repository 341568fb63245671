package xds

import (
	"net/netip"
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Envoy's defaults.
const (
	defaultInspectTimeout = 15 * time.Second
	defaultBufferLimit    = 1 << 20
)

func (d *decoder) listener(raw []byte) *config.Listener {
	var m listenerv3.Listener
	if !d.parse(raw, &m) {
		return nil
	}
	out := &config.Listener{
		Name: m.Name, HandOff: truth(m.UseOriginalDst, false), Transparent: truth(m.Transparent, false),
		Bind:              truth(m.BindToPort, truth(m.GetDeprecatedV1().GetBindToPort(), true)),
		StatPrefix:        m.StatPrefix,
		ContinueOnTimeout: m.ContinueOnListenerFiltersTimeout,
		InspectTimeout:    d.duration("listener_filters_timeout", m.ListenerFiltersTimeout, defaultInspectTimeout),
		BufferLimit:       number(m.PerConnectionBufferLimitBytes, defaultBufferLimit),
	}
	if m.Name == "" {
		d.failIn("name", "empty")
	}
	d.listenerRefused(&m)
	d.listenerNoEffect(&m)
	d.addresses(&m, out)
	d.direction(m.TrafficDirection, out)
	d.pillion(m.GetMetadata().GetFilterMetadata()["pillion.dev"])
	d.inspectors(m.ListenerFilters, out)
	d.chains(&m, out)
	out.AccessLogs = d.accessLogs("access_log", m.AccessLog)
	return out
}

// listenerRefused refuses kinds of listeners that would be something else than a TCP listener with chains.
func (d *decoder) listenerRefused(m *listenerv3.Listener) {
	for _, r := range []struct {
		set   bool
		field string
	}{
		{m.UdpListenerConfig != nil, "udp_listener_config"},
		{m.GetInternalListener() != nil, "internal_listener"},
		{m.FilterChainMatcher != nil, "filter_chain_matcher"},
		{m.ApiListener != nil, "api_listener"},
		{m.FcdsConfig != nil, "fcds_config"},
	} {
		if r.set {
			d.failIn(r.field, "not supported")
		}
	}
}

func (d *decoder) listenerNoEffect(m *listenerv3.Listener) {
	d.noEffect(m.ConnectionBalanceConfig != nil, "connection_balance_config")
	d.noEffect(m.TcpBacklogSize != nil, "tcp_backlog_size")
	d.noEffect(m.MaxConnectionsToAcceptPerSocketEvent != nil, "max_connections_to_accept_per_socket_event")
	d.noEffect(truth(m.Freebind, false), "freebind")
	d.noEffect(len(m.SocketOptions) > 0, "socket_options")
	d.noEffect(m.TcpFastOpenQueueLength != nil, "tcp_fast_open_queue_length")
	d.noEffect(m.EnableMptcp, "enable_mptcp")
	d.noEffect(m.TcpKeepalive != nil, "tcp_keepalive")
	d.noEffect(m.DrainType != listenerv3.Listener_DEFAULT, "drain_type")
}

func (d *decoder) addresses(m *listenerv3.Listener, out *config.Listener) {
	d.in("address", func() { d.addAddress(m.Address, out) })
	for i, a := range m.AdditionalAddresses {
		d.at("additional_addresses", i, func() { d.addAddress(a.GetAddress(), out) })
	}
}

func (d *decoder) addAddress(a *corev3.Address, out *config.Listener) {
	address := d.socket(a)
	if address != (netip.AddrPort{}) && slices.Contains(out.Addresses, address) {
		d.fail("%s is there twice", address)
	}
	out.Addresses = append(out.Addresses, address)
	out.IPv4Compat = out.IPv4Compat || a.GetSocketAddress().GetIpv4Compat()
}

func (d *decoder) direction(t corev3.TrafficDirection, out *config.Listener) {
	if t == corev3.TrafficDirection_INBOUND {
		out.Direction = config.Inbound
	}
}

// pillion notes what our own control plane may ask for beyond Envoy: neither is built.
func (d *decoder) pillion(s *structpb.Struct) {
	for _, field := range []string{"attribution", "server_first"} {
		d.noEffect(s.GetFields()[field].GetBoolValue(), "filter_metadata[pillion.dev]."+field)
	}
}

func (d *decoder) inspectors(list []*listenerv3.ListenerFilter, out *config.Listener) {
	for i, f := range list {
		d.step(segment{"listener_filters", i, f.GetName()}, func() { d.inspector(f, out) })
	}
}

func (d *decoder) inspector(f *listenerv3.ListenerFilter, out *config.Listener) {
	if f.GetConfigDiscovery() != nil {
		d.failIn("config_discovery", "not supported")
		return
	}
	t := d.open(f.GetTypedConfig())
	i := slices.IndexFunc(listenerFilters, func(k listenerFilterType) bool { return k.message == t.message })
	switch {
	case i < 0:
		d.fail("not supported")
		return
	case listenerFilters[i].level != built:
		d.fail("%s", listenerFilters[i].level.reason())
		return
	}
	in := config.Inspector{Kind: listenerFilters[i].kind}
	if listenerFilters[i].decode != nil {
		listenerFilters[i].decode(d, t, &in)
	}
	d.inspectorOrder(in.Kind, out.Inspectors)
	if f.GetFilterDisabled() != nil {
		d.in("filter_disabled", func() { in.Disabled = d.portMatch(f.GetFilterDisabled()) })
	}
	out.Inspectors = append(out.Inspectors, in)
}

func (d *decoder) portMatch(p *listenerv3.ListenerFilterChainMatchPredicate) *config.PortMatch {
	out := &config.PortMatch{}
	switch r := p.GetRule().(type) {
	case *listenerv3.ListenerFilterChainMatchPredicate_AnyMatch:
		out.Any = r.AnyMatch
	case *listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange:
		start, end := r.DestinationPortRange.GetStart(), r.DestinationPortRange.GetEnd()
		if start < 0 || end > 65536 || start >= end {
			d.failIn("destination_port_range", "%d to %d is not a range of ports", start, end)
		}
		out.Range = &config.PortRange{Start: uint32(max(start, 0)), End: uint32(max(end, 0))}
	case *listenerv3.ListenerFilterChainMatchPredicate_NotMatch:
		d.in("not_match", func() { out.Not = d.portMatch(r.NotMatch) })
	case *listenerv3.ListenerFilterChainMatchPredicate_AndMatch:
		out.And = d.portMatches("and_match.rules", r.AndMatch.GetRules())
	case *listenerv3.ListenerFilterChainMatchPredicate_OrMatch:
		out.Or = d.portMatches("or_match.rules", r.OrMatch.GetRules())
	default:
		d.fail("no rule")
	}
	return out
}

func (d *decoder) portMatches(field string, list []*listenerv3.ListenerFilterChainMatchPredicate) []*config.PortMatch {
	out := make([]*config.PortMatch, 0, len(list))
	for i, p := range list {
		d.at(field, i, func() { out = append(out, d.portMatch(p)) })
	}
	return out
}
