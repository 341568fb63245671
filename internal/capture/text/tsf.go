package text

import (
	"fmt"
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// tsf writes the rules of TSF Mesh: nothing is captured but what is listed. It knows the proxy by its UID only, and has
// no rule for what stays on lo.
func (w *writer) tsf() {
	p := w.plan
	w.add(nat, prerouting, "", "-p tcp", "-j "+inbound)
	w.add(nat, output, "", "-j "+outbound)
	w.add(nat, redirect, "", fmt.Sprintf("-p tcp -j REDIRECT --to-ports %d", p.In.Port))
	w.chain(nat, inbound)
	for _, a := range p.First.In {
		if a.Addr().Is4() != w.v6 {
			port := plan.Range{Lo: uint32(a.Port()), Hi: uint32(a.Port())}
			w.add(nat, inbound, "", single(a.Addr()), portRule("tcp", port), "-j "+redirect)
		}
	}
	for _, id := range p.Proxy.UIDs {
		w.add(nat, outbound, "", owner("--uid-owner", false, plan.Range{Lo: id, Hi: id}), "-j RETURN")
	}
	to := p.Out.To4
	if w.v6 {
		to = p.Out.To6
	}
	for _, a := range p.First.Out {
		if a.Is4() != w.v6 {
			w.add(nat, outbound, "", single(a), "-p tcp", dnat(netip.AddrPortFrom(to, p.Out.Port)))
		}
	}
	w.tsfDNS()
}

func (w *writer) tsfDNS() {
	d := w.plan.DNS
	if !d.On() {
		return
	}
	w.add(nat, output, "", "-j "+chainDNS)
	for _, id := range w.plan.Proxy.UIDs {
		w.add(nat, chainDNS, "", owner("--uid-owner", false, plan.Range{Lo: id, Hi: id}), "-j RETURN")
	}
	resolver := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), d.Port)
	if w.v6 {
		resolver = netip.AddrPortFrom(netip.IPv6Loopback(), d.Port)
	}
	for _, to := range w.servers("-d") {
		for _, proto := range []string{"udp", "tcp"} {
			w.add(nat, chainDNS, "", to, portRule(proto, plan.Range{Lo: 53, Hi: 53}), dnat(resolver))
		}
	}
}

func single(a netip.Addr) string { return "-d " + netip.PrefixFrom(a, a.BitLen()).String() }

func dnat(to netip.AddrPort) string { return "-j DNAT --to-destination " + to.String() }
