package plan

import (
	"net/netip"
	"slices"
)

// Verdict is what becomes of a connection.
type Verdict string

// Left means the proxy never sees it.
const (
	VerdictLeft     Verdict = "left"
	VerdictInbound  Verdict = "inbound"
	VerdictOutbound Verdict = "outbound"
)

// Owner is the identity of the socket a packet comes from.
type Owner struct{ UID, GID uint32 }

// Packet is the first packet of a connection. Owner is nil if no socket of this namespace sent it.
type Packet struct {
	Hook     Hook
	Proto    uint8
	Src, Dst netip.AddrPort
	In, Out  string // interfaces
	Owner    *Owner
}

// Step is one rule a packet was held against.
type Step struct {
	Rule    Rule
	Matched bool
}

// Trace is a packet's way: every rule it met, and what they decided.
type Trace struct {
	Verdict Verdict
	Port    uint16         // where the connection goes: the proxy's port, or its own if left
	OrigDst netip.AddrPort // what SO_ORIGINAL_DST says at the proxy's port
	Decided string         // id of the rule that decided; "" if none did
	Steps   []Step
}

// Eval follows a packet through the rules. It alone knows what they mean: explain and every behavioural test use it.
func (p *Plan) Eval(packet Packet) Trace {
	trace := Trace{Verdict: VerdictLeft, Port: packet.Dst.Port(), OrigDst: packet.Dst}
	rules := p.Rules()
	chain := slices.IndexFunc(rules.Chains, func(c Chain) bool { return c.Base && c.Hook == packet.Hook })
	for chain >= 0 {
		next := trace.walk(rules.Chains[chain], packet)
		chain = slices.IndexFunc(rules.Chains, func(c Chain) bool { return c.Name == next })
	}
	return trace
}

// walk goes through one chain and names the one to continue in, "" at the end.
func (t *Trace) walk(chain Chain, packet Packet) (next string) {
	for _, rule := range chain.Rules {
		matched := rule.matches(packet)
		t.Steps = append(t.Steps, Step{Rule: rule, Matched: matched})
		if !matched {
			continue
		}
		if rule.Do.Kind == DoGoto {
			return rule.Do.Chain
		}
		t.Decided = rule.ID
		if rule.Do.Kind == DoRedirect {
			t.Verdict, t.Port = rule.Do.To, rule.Do.Port
		}
		return ""
	}
	return ""
}

func (r Rule) matches(p Packet) bool {
	return !slices.ContainsFunc(r.Conds, func(c Cond) bool { return !c.holds(p) })
}

func (c Cond) holds(p Packet) bool {
	switch c.Field {
	case FieldFamily:
		return c.number(p.family())
	case FieldProto:
		return c.number(uint32(p.Proto))
	case FieldInIface:
		return c.text(p.In)
	case FieldOutIface:
		return c.text(p.Out)
	case FieldSrc:
		return c.address(p.Src.Addr())
	case FieldDst:
		return c.address(p.Dst.Addr())
	case FieldTCPPort:
		return p.Proto == TCP && c.number(uint32(p.Dst.Port()))
	case FieldPort:
		return c.number(uint32(p.Dst.Port()))
	case FieldUID:
		return p.Owner != nil && c.number(p.Owner.UID)
	case FieldGID:
		return p.Owner != nil && c.number(p.Owner.GID)
	}
	return false
}

func (p Packet) family() uint32 {
	if p.Dst.Addr().Is4() {
		return NFProtoIPv4
	}
	return NFProtoIPv6
}

func (c Cond) number(n uint32) bool {
	is := n == c.Number
	if c.Set != nil {
		is = slices.ContainsFunc(c.Set.Ranges, func(r Range) bool { return r.Lo <= n && n <= r.Hi })
	}
	return is != c.Not
}

func (c Cond) text(s string) bool {
	is := s == c.Text
	if c.Set != nil {
		is = slices.Contains(c.Set.Names, s)
	}
	return is != c.Not
}

func (c Cond) address(a netip.Addr) bool {
	prefixes := []netip.Prefix{c.Prefix}
	if c.Set != nil {
		prefixes = c.Set.Prefixes
	}
	if len(prefixes) == 0 || prefixes[0].Addr().Is4() != a.Is4() {
		return false
	}
	is := slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	return is != c.Not
}
