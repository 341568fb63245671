package plan

import (
	"net/netip"
	"slices"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// Numbers of IP protocols.
const (
	TCP = 6
	UDP = 17
)

// Names of the chains. Both base chains are of type nat, at the priority of destination NAT: only the first packet of
// a connection meets them.
const (
	chainIn        = "nat_in"
	chainOut       = "nat_out"
	chainFromProxy = "from_proxy"
	priorityDNAT   = -100
)

const loopbackInterface = "lo"

// Rules are the rules that make the plan true, in order, and the lists they refer to. An empty plan has none.
func (p *Plan) Rules() *Ruleset {
	if p.Empty() {
		return &Ruleset{}
	}
	b := &builder{plan: p}
	b.inbound()
	b.outbound()
	b.fromProxy()
	return &Ruleset{Chains: b.chains, Sets: b.sets}
}

// builder collects chains and sets; rules go to the chain opened last.
type builder struct {
	plan   *Plan
	chains []Chain
	sets   []*Set
	hook   Hook
}

func (b *builder) open(name string, hook Hook, base bool) {
	b.hook = hook
	b.chains = append(b.chains, Chain{Name: name, Hook: hook, Base: base, Priority: priorityDNAT})
}

func (b *builder) rule(stage Stage, what, reason string, do Action, conds ...Cond) {
	chain := &b.chains[len(b.chains)-1]
	id := string(b.hook) + "." + string(stage) + "." + what
	chain.Rules = append(chain.Rules, Rule{ID: id, Stage: stage, Conds: conds, Do: do, Reason: reason})
}

// leave adds a rule that doesn't capture: most of them.
func (b *builder) leave(stage Stage, what, reason string, conds ...Cond) {
	b.rule(stage, what, reason, Action{Kind: DoReturn}, conds...)
}

// set declares a list once, however many rules refer to it.
func (b *builder) set(s Set) *Set {
	for _, have := range b.sets {
		if have.Name == s.Name {
			return have
		}
	}
	b.sets = append(b.sets, &s)
	return &s
}

func (b *builder) inbound() {
	b.open(chainIn, Prerouting, true)
	b.scope()
	b.exempt()
	b.bypass()
	in := b.plan.In
	do := Action{Kind: DoRedirect, To: VerdictInbound, Port: in.Port}
	switch {
	case in.Ports.All:
		b.rule(StageCapture, "all", "-b *", do, Cond{Field: FieldProto, Number: TCP})
	case len(in.Ports.List) > 0:
		ports := b.set(Set{Name: "in_ports", Kind: KindPort, Ranges: in.Ports.List})
		b.rule(StageCapture, "port", "-b, includeInboundPorts", do, Cond{Field: FieldTCPPort, Set: ports})
	}
}

func (b *builder) outbound() {
	b.open(chainOut, Output, true)
	b.scope()
	b.exempt()
	b.passthrough()
	b.identity()
	b.loopback()
	b.bypass()
	b.capture()
}

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

// prefixes adds a rule for each of the plan's families that the list has addresses of.
func (b *builder) prefixes(stage Stage, what, set, reason string, field Field, list []netip.Prefix, do Action, conds ...Cond) {
	for _, f := range b.families() {
		own := ofFamily(list, f.v4)
		if len(own) == 0 {
			continue
		}
		s := b.set(Set{Name: set + f.suffix, Kind: f.kind, Prefixes: own})
		b.rule(stage, what+f.suffix, reason, do, append(slices.Clone(conds), Cond{Field: field, Set: s})...)
	}
}

// of returns the bypasses of a stage at the current hook.
func (b *builder) of(stage Stage) []Bypass {
	return slices.DeleteFunc(slices.Clone(b.plan.Bypass), func(by Bypass) bool {
		return by.Stage != stage || by.Hook != b.hook
	})
}

// family is what differs between the two.
type family struct {
	v4                    bool
	suffix                string
	number                uint32
	kind                  Kind
	passthrough, loopback netip.Prefix
}

func (b *builder) families() []family {
	var list []family
	if b.plan.Families.V4 {
		list = append(list, family{true, "4", NFProtoIPv4, KindIPv4, host(istio.PassthroughV4), b.plan.Loopback})
	}
	if b.plan.Families.V6 {
		list = append(list, family{false, "6", NFProtoIPv6, KindIPv6, host(istio.PassthroughV6), host("::1")})
	}
	return list
}

// host is the prefix of one address; the texts are constants.
func host(s string) netip.Prefix {
	addr := netip.MustParseAddr(s)
	return netip.PrefixFrom(addr, addr.BitLen())
}

func singles(ids []uint32) []Range {
	list := make([]Range, len(ids))
	for i, id := range ids {
		list[i] = Range{id, id}
	}
	return mergeRanges(list)
}
