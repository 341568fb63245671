package plan

import (
	"net/netip"
	"slices"
)

// scope leaves a family that isn't the plan's alone: the table itself holds both.
func (b *builder) scope() {
	f := b.plan.Families
	if f.V4 && f.V6 {
		return
	}
	number, name := uint32(NFProtoIPv4), "ipv4"
	if f.V6 {
		number, name = NFProtoIPv6, "ipv6"
	}
	b.leave(StageScope, "family", "only "+name+" is captured", Cond{Field: FieldFamily, Not: true, Number: number})
}

func (b *builder) exempt() {
	for _, by := range b.of(StageExempt) {
		if len(by.Interfaces) > 0 {
			set := b.set(Set{Name: "skip_ifaces", Kind: KindInterface, Names: by.Interfaces})
			field := FieldOutIface
			if b.hook == Prerouting {
				field = FieldInIface
			}
			b.leave(StageExempt, "iface", by.Reason, Cond{Field: field, Set: set})
		}
		if len(by.Ports) > 0 {
			protos := b.set(Set{Name: "tcp_udp", Kind: KindProto, Ranges: []Range{{TCP, TCP}, {UDP, UDP}}})
			ports := b.set(Set{Name: "out_skip", Kind: KindPort, Ranges: by.Ports})
			b.leave(StageExempt, "port", by.Reason, Cond{Field: FieldProto, Set: protos}, Cond{Field: FieldPort, Set: ports})
		}
	}
}

// passthrough lets the proxy deliver to the application: it binds an address nobody else uses.
func (b *builder) passthrough() {
	lo := Cond{Field: FieldOutIface, Text: loopbackInterface}
	for _, f := range b.families() {
		source := Cond{Field: FieldSrc, Prefix: f.passthrough}
		b.leave(StagePassthrough, "lo"+f.suffix, "the proxy delivers to the application", lo, source)
	}
}

func (b *builder) identity() {
	uids := b.set(Set{Name: "proxy_uids", Kind: KindUID, Ranges: singles(b.plan.Proxy.UIDs)})
	gids := b.set(Set{Name: "proxy_gids", Kind: KindGID, Ranges: singles(b.plan.Proxy.GIDs)})
	goTo := Action{Kind: DoGoto, Chain: chainFromProxy}
	b.rule(StageIdentity, "uid", "-u, the proxy's", goTo, Cond{Field: FieldUID, Set: uids})
	b.rule(StageIdentity, "gid", "-g, the proxy's", goTo, Cond{Field: FieldGID, Set: gids})
	for _, by := range b.of(StageIdentity) {
		set := b.set(Set{Name: "skip_uids", Kind: KindUID, Ranges: by.UIDs})
		b.leave(StageIdentity, "skip_uid", by.Reason, Cond{Field: FieldUID, Set: set})
	}
}

// fromProxy decides about the proxy's own connections: on lo it chose this very pod, so the connection is inbound;
// everything else leaves, or it would loop.
func (b *builder) fromProxy() {
	b.open(chainFromProxy, Output, false)
	lo := Cond{Field: FieldOutIface, Text: loopbackInterface}
	tunnel := Cond{Field: FieldTCPPort, Not: true, Number: uint32(b.plan.In.Tunnel)}
	do := Action{Kind: DoRedirect, To: VerdictInbound, Port: b.plan.In.Port}
	for _, f := range b.families() {
		away := Cond{Field: FieldDst, Not: true, Prefix: f.loopback}
		b.rule(StageIdentity, "hairpin"+f.suffix, "the proxy calls its own pod", do, lo, away, tunnel)
	}
	b.leave(StageIdentity, "leave", "the proxy's own connections")
}

// loopback leaves the pod's talk with itself alone. A loopback prefix in -i lifts that for its family.
func (b *builder) loopback() {
	lo := Cond{Field: FieldOutIface, Text: loopbackInterface}
	kept := slices.DeleteFunc(b.families(), func(f family) bool { return b.lifted(f) })
	if len(kept) == len(b.families()) && len(kept) > 0 {
		b.leave(StageLoopback, "lo", "stays in the pod", lo)
	} else {
		for _, f := range kept {
			b.leave(StageLoopback, "lo"+f.suffix, "stays in the pod", Cond{Field: FieldFamily, Number: f.number}, lo)
		}
	}
	for _, f := range kept {
		b.leave(StageLoopback, "dst"+f.suffix, "stays in the pod", Cond{Field: FieldDst, Prefix: f.loopback})
	}
}

func (b *builder) lifted(f family) bool {
	return slices.ContainsFunc(ofFamily(b.plan.Out.CIDRs.List, f.v4), func(p netip.Prefix) bool {
		return p.Addr().IsLoopback()
	})
}

func (b *builder) bypass() {
	for _, by := range b.of(StageBypass) {
		if len(by.Ports) > 0 {
			set := b.set(Set{Name: "in_skip", Kind: KindPort, Ranges: by.Ports})
			b.leave(StageBypass, "port", by.Reason, Cond{Field: FieldTCPPort, Set: set})
		}
		b.prefixes(StageBypass, "dst", "skip", by.Reason, FieldDst, by.To, Action{})
		b.prefixes(StageBypass, "src", "in_src", by.Reason, FieldSrc, by.From, Action{})
	}
}

func (b *builder) capture() {
	out := b.plan.Out
	do := Action{Kind: DoRedirect, To: VerdictOutbound, Port: out.Port}
	if len(out.Ports) > 0 {
		set := b.set(Set{Name: "out_ports", Kind: KindPort, Ranges: out.Ports})
		b.rule(StageCapture, "port", "-q, includeOutboundPorts", do, Cond{Field: FieldTCPPort, Set: set})
	}
	tcp := Cond{Field: FieldProto, Number: TCP}
	if out.CIDRs.All {
		b.rule(StageCapture, "all", "-i *", do, tcp)
		return
	}
	b.prefixes(StageCapture, "dst", "out", "-i, includeOutboundIPRanges", FieldDst, out.CIDRs.List, do, tcp)
}
