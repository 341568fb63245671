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

// Names of the chains.
const (
	chainIn        = "nat_in"
	chainOut       = "nat_out"
	chainFromProxy = "from_proxy"
	chainOwned     = "owned"
	chainRawIn     = "raw_in"
	chainRawOut    = "raw_out"
	chainMangleIn  = "mangle_in"
	chainMangleOut = "mangle_out"
	chainVirtual   = "virtual"
)

// Priorities of base chains, as the kernel's own tables have them.
const (
	priorityRaw    = -300
	priorityMangle = -150
	priorityDNAT   = -100
)

const loopbackInterface = "lo"

// Rules are the rules that make the plan true, in order, and the lists they refer to. An empty plan has none.
func (p *Plan) Rules() *Ruleset {
	if p.Empty() {
		return &Ruleset{}
	}
	b := &builder{plan: p}
	b.zones()
	if p.In.Via == TProxy {
		b.tproxy()
	} else {
		b.invalid()
		b.inbound()
	}
	b.virtual()
	b.outbound()
	if p.Mode != Listed {
		b.fromProxy()
	}
	return &Ruleset{Plan: p, Chains: b.chains, Sets: b.sets}
}

// builder collects chains and sets; rules go to the chain opened last.
type builder struct {
	plan   *Plan
	chains []Chain
	sets   []*Set
	hook   Hook
	prefix string // of the last part of the rules' ids, in chains that repeat stages
	nested bool   // packets that arrive go through stages of those that leave
}

func (b *builder) open(c Chain) {
	b.hook = c.Hook
	b.chains = append(b.chains, c)
}

// nat opens a base chain that decides about connections.
func (b *builder) nat(name string, hook Hook) {
	b.prefix = ""
	b.open(Chain{Name: name, Hook: hook, Base: true, Type: TypeNAT, Priority: priorityDNAT})
}

// aside opens a base chain that prepares packets for others.
func (b *builder) aside(name string, hook Hook, kind ChainType, priority int32) {
	b.open(Chain{Name: name, Hook: hook, Base: true, Type: kind, Priority: priority, Aside: true})
}

// branch opens a chain that rules go to.
func (b *builder) branch(name string) { b.open(Chain{Name: name, Hook: b.hook}) }

func (b *builder) rule(stage Stage, what, reason string, do Action, conds ...Cond) {
	chain := &b.chains[len(b.chains)-1]
	id := string(b.hook) + "." + string(stage) + "." + b.prefix + what
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
	b.nat(chainIn, Prerouting)
	b.scope()
	b.exempt()
	b.fromVirtual()
	b.bypass()
	if b.plan.Mode == Listed {
		b.listedIn()
		return
	}
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
	b.nat(chainOut, Output)
	b.scope()
	b.exempt()
	if b.plan.Mode != Listed {
		b.passthrough()
	}
	b.identity()
	b.dns()
	b.loopback()
	b.bypass()
	b.capture()
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
	hook := b.hook
	if b.nested {
		hook = Output
	}
	return slices.DeleteFunc(slices.Clone(b.plan.Bypass), func(by Bypass) bool {
		return by.Stage != stage || by.Hook != hook || (b.nested && by.local())
	})
}

// family is what differs between the two.
type family struct {
	v4                    bool
	suffix                string
	number                uint32
	kind                  Kind
	passthrough, loopback netip.Prefix
	localhost, to         netip.Addr // to: where DNAT leads
	in, vip               string     // names of the live sets
}

func (b *builder) families() []family {
	var list []family
	if b.plan.Families.V4 {
		list = append(list, family{true, "4", NFProtoIPv4, KindIPv4, host(istio.PassthroughV4), b.plan.Loopback, host("127.0.0.1").Addr(), b.plan.Out.To4, SetIn4, SetVIP4})
	}
	if b.plan.Families.V6 {
		list = append(list, family{false, "6", NFProtoIPv6, KindIPv6, host(istio.PassthroughV6), host("::1"), netip.IPv6Loopback(), b.plan.Out.To6, SetIn6, SetVIP6})
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
