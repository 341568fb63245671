package text

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// unsaid lists what of the plan a dialect has no rules for.
func unsaid(p *plan.Plan, d Dialect) []string {
	var list []string
	add := func(when bool, what string) {
		if when {
			list = append(list, what)
		}
	}
	if d == Pillion {
		return list
	}
	add(p.Proxy.Mark != nil, "a mark of the proxy's")
	add(p.LateArming, "late arming")
	add(p.DropInvalid, "drop-invalid")
	add(p.In.Via == plan.TProxy && d != Istio, "TPROXY")
	add((p.Mode == plan.Listed) != (d == TSF), fmt.Sprintf("mode %s", p.Mode))
	add(len(p.Out.Virtual) > 0 && d != Istio, "virtual interfaces")
	add(d == Istio18 && p.DNS.On(), "DNS capture")
	add(d != Istio && len(p.Out.Owners.Groups)+len(p.Out.Owners.Exclude) > 0, "owner groups")
	for _, b := range p.Bypass {
		add(!original(b, d) && !(d == Istio && isInterfaces(b)), b.Reason)
	}
	return list
}

// original tells whether a bypass is one the originals know: by -e, -d, -o or -x.
func original(b plan.Bypass, d Dialect) bool {
	if len(b.Interfaces)+len(b.From)+len(b.UIDs)+len(b.GIDs) > 0 || b.Proto != 0 {
		return false
	}
	switch {
	case b.Hook == plan.Prerouting:
		return b.Stage == plan.StageBypass && len(b.To) == 0
	case d == TSF:
		return false
	case b.Stage == plan.StageExempt:
		return len(b.To) == 0
	default:
		return len(b.Ports) == 0
	}
}

// istio writes today's rules of Istio, or those of its version 1.8.
func (w *writer) istio(old bool) {
	p := w.plan
	w.istioInterfaces()
	w.istioInbound()
	jump := ""
	if old {
		jump = "-p tcp"
	}
	w.add(nat, output, "", jump, "-j "+outbound)
	w.add(nat, redirect, "", fmt.Sprintf("-p tcp -j REDIRECT --to-ports %d", p.Out.Port))
	w.add(nat, inRedirect, "", fmt.Sprintf("-p tcp -j REDIRECT --to-ports %d", p.In.Port))
	for _, r := range pick(p.Given.OutboundSkips, skips(p, plan.StageExempt, plan.Output)) {
		for _, proto := range []string{"tcp", "udp"} {
			w.add(nat, outbound, "", portRule(proto, r), "-j RETURN")
		}
	}
	w.add(nat, outbound, "", "-s "+w.passthrough(), "-o lo", "-j RETURN")
	for _, option := range []string{"--uid-owner", "--gid-owner"} {
		ids := p.Proxy.UIDs
		if option == "--gid-owner" {
			ids = p.Proxy.GIDs
		}
		for _, id := range ids {
			w.istioIdentity(old, option, plan.Range{Lo: id, Hi: id})
		}
	}
	w.istioOwners()
	w.istioDNS()
	w.istioCapture()
}

func (w *writer) istioInbound() {
	p := w.plan
	tunnel := plan.Range{Lo: uint32(p.In.Tunnel), Hi: uint32(p.In.Tunnel)}
	if p.In.Via == plan.TProxy {
		w.istioTProxy()
		w.add(nat, inbound, "", portRule("tcp", tunnel), "-j RETURN") // nothing leads there
		return
	}
	if !p.In.Ports.None() {
		w.add(nat, prerouting, "", "-p tcp", "-j "+inbound)
	}
	w.add(nat, inbound, "", portRule("tcp", tunnel), "-j RETURN")
	if !p.In.Ports.All {
		for _, r := range pick(p.Given.InboundPorts, p.In.Ports.List) {
			w.add(nat, inbound, "", portRule("tcp", r), "-j "+inRedirect)
		}
		return
	}
	w.istioInboundSkips(nat)
	w.add(nat, inbound, "", "-p tcp", "-j "+inRedirect)
}

// istioInboundSkips are the rules for -d; the tunnel's port, which the plan has among them, has its own.
func (w *writer) istioInboundSkips(table string) {
	p := w.plan
	tunnel := uint32(p.In.Tunnel)
	for _, r := range pick(p.Given.InboundSkips, skips(p, plan.StageBypass, plan.Prerouting)) {
		if r.Lo != tunnel || r.Hi != tunnel {
			w.add(table, inbound, "", portRule("tcp", r), "-j RETURN")
		}
	}
}

// istioIdentity is what Istio does with one UID or GID of the proxy's. The second rule takes the hairpin from every
// later one: that's the original's fault.
func (w *writer) istioIdentity(old bool, option string, id plan.Range) {
	dns := w.plan.DNS.On()
	hairpin := fmt.Sprintf("-p tcp -m tcp ! --dport %d", w.plan.In.Tunnel)
	others := ""
	switch {
	case old:
		hairpin = ""
	case dns && option == "--uid-owner":
		hairpin, others = fmt.Sprintf("-p tcp -m multiport ! --dports 53,%d", w.plan.In.Tunnel), "-p tcp -m tcp ! --dport 53"
	case dns: // only its UID's queries are kept from the hairpin
		others = "-p tcp -m tcp ! --dport 53"
	}
	w.add(nat, outbound, "", "! -d "+w.loopback(), "-o lo", hairpin, owner(option, false, id), "-j "+inRedirect)
	w.add(nat, outbound, "", "-o lo", others, owner(option, true, id), "-j RETURN")
	w.add(nat, outbound, "", owner(option, false, id), "-j RETURN")
}

// istioOwners leaves excluded groups alone, or all but the included ones.
func (w *writer) istioOwners() {
	o := w.plan.Out.Owners
	for _, gid := range o.Exclude {
		w.add(nat, outbound, "", owner("--gid-owner", false, plan.Range{Lo: gid, Hi: gid}), "-j RETURN")
	}
	if len(o.Groups) == 0 {
		return
	}
	var words []string
	for _, gid := range o.Groups {
		words = append(words, owner("--gid-owner", true, plan.Range{Lo: gid, Hi: gid}))
	}
	w.add(nat, outbound, "", append(words, "-j RETURN")...)
}

// istioDNS captures queries, and tracks the proxy's apart from the application's.
func (w *writer) istioDNS() {
	d := w.plan.DNS
	if !d.On() {
		return
	}
	w.add(nat, outbound, "", "-j "+dnsOutput)
	w.istioQueries("tcp")
	for _, who := range w.proxyOwners() {
		w.add(nat, dnsOutput, "", "-p udp -m udp --dport 53", who, "-j RETURN")
	}
	w.istioQueries("udp")
	if !d.Zones {
		return
	}
	w.add(raw, prerouting, "", "-j "+inbound)
	w.add(raw, output, "", "-j "+dnsOutput)
	for _, who := range w.proxyOwners() {
		w.add(raw, dnsOutput, "", "-p udp -m udp --dport 53", who, "-j CT --zone 1")
		w.add(raw, dnsOutput, "", fmt.Sprintf("-p udp -m udp --sport %d", d.Port), who, "-j CT --zone 2")
	}
	for _, to := range w.servers("-d") {
		w.add(raw, dnsOutput, "", to, "-p udp -m udp --dport 53", "-j CT --zone 2")
	}
	for _, from := range w.servers("-s") {
		w.add(raw, inbound, "", from, "-p udp -m udp --sport 53", "-j CT --zone 1")
	}
}

func (w *writer) istioQueries(proto string) {
	for _, to := range w.servers("-d") {
		w.add(nat, dnsOutput, "", to, portRule(proto, plan.Range{Lo: 53, Hi: 53}), fmt.Sprintf("-j REDIRECT --to-ports %d", w.plan.DNS.Port))
	}
}

func (w *writer) proxyOwners() []string {
	var list []string
	for _, id := range w.plan.Proxy.UIDs {
		list = append(list, owner("--uid-owner", false, plan.Range{Lo: id, Hi: id}))
	}
	for _, id := range w.plan.Proxy.GIDs {
		list = append(list, owner("--gid-owner", false, plan.Range{Lo: id, Hi: id}))
	}
	return list
}

// servers are the DNS servers captured: "" stands for any.
func (w *writer) servers(option string) []string {
	if w.plan.DNS.All {
		return []string{""}
	}
	var list []string
	for _, a := range w.plan.DNS.Servers {
		if a.Is4() != w.v6 {
			list = append(list, option+" "+netip.PrefixFrom(a, a.BitLen()).String())
		}
	}
	return list
}

// istioCapture is the end of the way out. A loopback prefix in -i makes Istio leave out the rule for loopback.
func (w *writer) istioCapture() {
	p := w.plan
	included := w.own(pick(p.Given.CIDRs, p.Out.CIDRs.List))
	if !slices.ContainsFunc(included, func(c netip.Prefix) bool { return c.Addr().IsLoopback() }) {
		w.add(nat, outbound, "", "-d "+w.loopback(), "-j RETURN")
	}
	for _, c := range w.own(pick(p.Given.SkipCIDRs, excluded(p))) {
		w.add(nat, outbound, "", address("-d", false, c), "-j RETURN")
	}
	if p.Out.CIDRs.All {
		w.add(nat, outbound, "", "-j "+redirect)
		return
	}
	for _, r := range pick(p.Given.OutboundPorts, p.Out.Ports) {
		w.add(nat, outbound, "", portRule("tcp", r), "-j "+redirect)
	}
	for _, c := range included {
		w.add(nat, outbound, "", address("-d", false, c), "-j "+redirect)
	}
}

func portRule(proto string, r plan.Range) string {
	return fmt.Sprintf("-p %s -m %s --dport %s", proto, proto, colon(r))
}

func (w *writer) passthrough() string {
	if w.v6 {
		return istio.PassthroughV6 + "/128"
	}
	return istio.PassthroughV4 + "/32"
}

func (w *writer) loopback() string {
	if w.v6 {
		return "::1/128"
	}
	return w.plan.Loopback.String()
}

func (w *writer) own(list []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return p.Addr().Is4() == w.v6 })
}

// pick prefers a list as the user wrote it to what the plan made of it.
func pick[T any](given, planned []T) []T {
	if len(given) > 0 {
		return given
	}
	return planned
}

func skips(p *plan.Plan, stage plan.Stage, hook plan.Hook) []plan.Range {
	var list []plan.Range
	for _, b := range p.Bypass {
		if b.Stage == stage && b.Hook == hook {
			list = append(list, b.Ports...)
		}
	}
	return list
}

func excluded(p *plan.Plan) []netip.Prefix {
	var list []netip.Prefix
	for _, b := range p.Bypass {
		if b.Hook == plan.Output {
			list = append(list, b.To...)
		}
	}
	return list
}
