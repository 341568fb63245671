package config

import (
	"net/netip"
	"time"
)

// Listener decides what happens to the connections of one address. Most are virtual: they have no socket, connections
// are handed to them by their original destination.
type Listener struct {
	Name string
	// Addresses are listener.address and additional_addresses, IPv4-mapped ones unmapped. The first one names it.
	Addresses []netip.AddrPort
	Bind      bool // bind_to_port: it has a socket of its own
	HandOff   bool // use_original_dst: hand a connection to the listener of its original destination
	// IPv4Compat: an IPv6 address of it takes IPv4 too (socket_address.ipv4_compat).
	IPv4Compat bool
	// Transparent keeps original addresses on the socket (TPROXY); it wants NET_ADMIN.
	Transparent bool
	Direction   Direction
	StatPrefix  string // empty: the address

	Inspectors        []Inspector
	InspectTimeout    time.Duration // listener_filters_timeout; 0: none
	ContinueOnTimeout bool          // continue_on_listener_filters_timeout

	Chains  []*Chain
	Default *Chain // nil: what no chain matches is closed

	AccessLogs  []*AccessLog
	BufferLimit uint32 // per_connection_buffer_limit_bytes
}

// InspectorKind is a listener filter.
type InspectorKind uint8

// The listener filters there are.
const (
	OriginalDestination InspectorKind = iota // envoy.filters.listener.original_dst
	TLSInspector                             // envoy.filters.listener.tls_inspector
	HTTPInspector                            // envoy.filters.listener.http_inspector
)

// Inspector is a listener filter and where it doesn't run.
type Inspector struct {
	Kind     InspectorKind
	Disabled *PortMatch // filter_disabled; nil: it always runs
}

// PortMatch is a ListenerFilterChainMatchPredicate: a tree over destination ports. Exactly one field is set.
type PortMatch struct {
	Any     bool
	Range   *PortRange
	Not     *PortMatch
	And, Or []*PortMatch
}

// PortRange holds start ≤ port < end.
type PortRange struct{ Start, End uint32 }

// Match reports whether port matches. A nil PortMatch matches nothing.
func (m *PortMatch) Match(port uint16) bool {
	switch {
	case m == nil:
		return false
	case m.Any:
		return true
	case m.Range != nil:
		return m.Range.Start <= uint32(port) && uint32(port) < m.Range.End
	case m.Not != nil:
		return !m.Not.Match(port)
	case m.And != nil:
		for _, each := range m.And {
			if !each.Match(port) {
				return false
			}
		}
		return true
	default:
		for _, each := range m.Or {
			if each.Match(port) {
				return true
			}
		}
		return false
	}
}
