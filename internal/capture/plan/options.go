package plan

import (
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// Interception is the value of -m.
type Interception string

// ModeRedirect captures by REDIRECT; ModeNone leaves or makes the namespace clean.
const (
	ModeRedirect Interception = "REDIRECT"
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

	OutboundPort uint16 // -p
	InboundPort  uint16 // -z
	TunnelPort   uint16 // -e
	DNSPort      uint16 // --dns-port; only its difference from the others matters yet

	ProxyUIDs []uint32 // -u
	ProxyGIDs []uint32 // -g; empty: as ProxyUIDs

	InboundPorts        Ports          // -b
	ExcludeInboundPorts []Range        // -d, only with -b '*'
	ExcludeInboundFrom  []netip.Prefix // --exclude-inbound-ip-ranges
	ExcludeInterfaces   []string       // -c

	OutboundCIDRs        Prefixes       // -i
	ExcludeOutboundCIDRs []netip.Prefix // -x
	OutboundPorts        []Range        // -q
	ExcludeOutboundPorts []Range        // -o
	ExcludeOutboundUIDs  []Range        // --exclude-outbound-uids

	Loopback netip.Prefix // ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR
	Families FamilyChoice // --ip-families
}

// Defaults are the values of flags nobody sets.
func Defaults() Options {
	return Options{
		Interception: ModeRedirect,
		OutboundPort: istio.PortOutbound,
		InboundPort:  istio.PortInbound,
		TunnelPort:   istio.PortTunnel,
		DNSPort:      istio.PortDNS,
		ProxyUIDs:    []uint32{istio.ProxyUID},
		Loopback:     netip.MustParsePrefix("127.0.0.1/32"),
		Families:     FamilyAuto,
	}
}
