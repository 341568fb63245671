package plan

import (
	"net/netip"
	"slices"
)

// scope leaves a family that isn't the plan's alone, for the table itself holds both; and with late arming every
// protocol that isn't armed.
func (b *builder) scope() {
	b.family()
	if b.plan.LateArming {
		armed := b.live(SetArmed, b.plan.First.Armed)
		b.leave(StageScope, "armed", "--arming late: not yet", Cond{Field: FieldProto, Not: true, Set: armed})
	}
}

func (b *builder) family() {
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
			ports := b.set(Set{Name: "out_skip", Kind: KindPort, Ranges: by.Ports})
			b.leave(StageExempt, "port", by.Reason, b.tcpAndUDP(), Cond{Field: FieldPort, Set: ports})
		}
	}
}

// invalid drops what conntrack can make nothing of, before anybody looks at it. It's a chain of its own: no such packet
// meets a chain of type nat.
func (b *builder) invalid() {
	if !b.plan.DropInvalid {
		return
	}
	b.prefix = "invalid_"
	b.aside(chainMangleIn, Prerouting, TypeFilter, priorityMangle)
	b.scope()
	b.exempt()
	b.prefix = ""
	b.drop()
}

func (b *builder) drop() {
	b.rule(StageInvalid, "drop", "--drop-invalid", Action{Kind: DoDrop}, Cond{Field: FieldConnState, Mask: StateInvalid})
}

// passthrough lets the proxy deliver to the application: it binds an address nobody else uses.
func (b *builder) passthrough() {
	if b.plan.In.Via == TProxy {
		b.leave(StagePassthrough, "mark", "the proxy delivers to the application", b.marked()...)
	}
	lo := Cond{Field: FieldOutIface, Text: loopbackInterface}
	for _, f := range b.families() {
		source := Cond{Field: FieldSrc, Prefix: f.passthrough}
		b.leave(StagePassthrough, "lo"+f.suffix, "the proxy delivers to the application", lo, source)
	}
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

func (b *builder) capture() {
	out := b.plan.Out
	if b.plan.Mode == Listed {
		b.listedOut()
		return
	}
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

// listedIn and listedOut capture what the live sets hold.
func (b *builder) listedIn() {
	do := Action{Kind: DoRedirect, To: VerdictInbound, Port: b.plan.In.Port}
	for _, f := range b.families() {
		set := b.live(f.in, b.plan.First.in())
		b.rule(StageCapture, "listed"+f.suffix, "registered", do, Cond{Field: FieldDstAndTCPPort, Set: set})
	}
}

func (b *builder) listedOut() {
	for _, f := range b.families() {
		do := Action{Kind: DoDNAT, To: VerdictOutbound, Addr: f.to, Port: b.plan.Out.Port}
		set := b.live(f.vip, b.plan.First.out())
		b.rule(StageCapture, "vip"+f.suffix, "registered", do, Cond{Field: FieldProto, Number: TCP}, Cond{Field: FieldDst, Set: set})
	}
}
