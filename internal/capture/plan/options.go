package plan

import (
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// Interception is the value of -m.
type Interception string

// ModeRedirect captures by REDIRECT; ModeTProxy hands inbound connections over with the client's address, and captures
// outbound ones by REDIRECT; ModeNone leaves or makes the namespace clean.
const (
	ModeRedirect Interception = "REDIRECT"
	ModeTProxy   Interception = "TPROXY"
	ModeNone     Interception = "NONE"
)

// FamilyChoice is the value of --ip-families.
type FamilyChoice string

// Auto looks at the addresses of the interfaces.
const (
	FamilyAuto FamilyChoice = "auto"
	FamilyV4   FamilyChoice = "ipv4"
	FamilyV6   FamilyChoice = "ipv6"
	FamilyDual FamilyChoice = "dual"
)

// Options are the flags that shape a plan. Start from Defaults.
type Options struct {
	Interception Interception
	Mode         Mode // --mode

	OutboundPort uint16 // -p
	InboundPort  uint16 // -z
	TunnelPort   uint16 // -e
	DNSPort      uint16 // --dns-port

	TProxyMark  uint32 // -t
	TProxyTable uint32 // -r

	ProxyUIDs []uint32 // -u
	ProxyGIDs []uint32 // -g; empty: as ProxyUIDs
	ProxyMark *Mark    // --proxy-mark; nil: none

	InboundPorts        Ports          // -b
	ExcludeInboundPorts []Range        // -d, only with -b '*'
	ExcludeInboundFrom  []netip.Prefix // --exclude-inbound-ip-ranges
	ExcludeInterfaces   []string       // -c

	OutboundCIDRs        Prefixes       // -i
	ExcludeOutboundCIDRs []netip.Prefix // -x
	OutboundPorts        []Range        // -q
	ExcludeOutboundPorts []Range        // -o
	ExcludeOutboundUIDs  []Range        // --exclude-outbound-uids

	VirtualInterfaces []string // -k
	OwnerGroups       Owners   // ISTIO_OUTBOUND_OWNER_GROUPS and …_EXCLUDE
	Bypass            []Bypass // --bypass

	RedirectDNS   bool         // --redirect-dns
	CaptureAllDNS bool         // --capture-all-dns
	Resolvers     []netip.Addr // the servers of /etc/resolv.conf

	PodIPs    []netip.Addr     // --pod-ips; Listed mode: where captured connections go
	ListedIn  []netip.AddrPort // --listed-inbound
	ListedOut []netip.Addr     // --listed-outbound

	DropInvalid bool // --drop-invalid
	LateArming  bool // --arming late

	Loopback netip.Prefix // ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR
	Families FamilyChoice // --ip-families

	Given Given // lists as they were written, for the dialects that keep their order
}

// What TPROXY uses unless told otherwise; the proxy's configuration has the mark too.
const (
	defaultTProxyMark  = istio.TProxyMark
	defaultTProxyTable = 133
)

// Defaults are the values of flags nobody sets.
func Defaults() Options {
	return Options{
		Interception: ModeRedirect,
		Mode:         All,
		OutboundPort: istio.PortOutbound,
		InboundPort:  istio.PortInbound,
		TunnelPort:   istio.PortTunnel,
		DNSPort:      istio.PortDNS,
		TProxyMark:   defaultTProxyMark,
		TProxyTable:  defaultTProxyTable,
		ProxyUIDs:    []uint32{istio.ProxyUID},
		Loopback:     netip.MustParsePrefix("127.0.0.1/32"),
		Families:     FamilyAuto,
	}
}
