package config

import (
	"net/netip"
	"slices"
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
	OriginalDestination  InspectorKind = iota // envoy.filters.listener.original_dst
	TLSInspector                              // envoy.filters.listener.tls_inspector
	HTTPInspector                             // envoy.filters.listener.http_inspector
	ProxyProtocolFilter                       // envoy.filters.listener.proxy_protocol
	OriginalSourceFilter                      // envoy.filters.listener.original_src
)

// Inspector is a listener filter and where it doesn't run.
type Inspector struct {
	Kind     InspectorKind
	Disabled *PortMatch // filter_disabled; nil: it always runs
	Proxy    *ProxyProtocol
	Source   *OriginalSource
}

// ProxyProtocol says what PROXY protocol headers of downstreams are read.
type ProxyProtocol struct {
	Optional   bool // allow_requests_without_proxy_protocol
	NoV1, NoV2 bool // disallowed_versions
	Rules      []TLVRule
	Pass       *TLVPass // what upstreams may be told of; nil: nothing
	StatPrefix string
}

// TLVRule writes a TLV to dynamic metadata.
type TLVRule struct {
	Type      byte
	Namespace string
	Key       string
	Base64    bool // else it's text, with what isn't UTF-8 replaced
}

// TLVPass chooses TLVs.
type TLVPass struct {
	All   bool
	Types []byte
}

// Takes reports whether a TLV of that type is chosen. A nil TLVPass takes none.
func (p *TLVPass) Takes(kind byte) bool {
	return p != nil && (p.All || slices.Contains(p.Types, kind))
}

// OriginalSource says that upstream connections come from the downstream's address, which wants NET_ADMIN.
type OriginalSource struct {
	Mark uint32 // of their packets; 0: none
	Port bool   // bind_port: from its port, too
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
