package plan

import (
	"cmp"
	"net/netip"
	"slices"
)

// Verdict is what becomes of a connection.
type Verdict string

// Left means the proxy never sees it, Dropped that nobody does.
const (
	VerdictLeft     Verdict = "left"
	VerdictInbound  Verdict = "inbound"
	VerdictOutbound Verdict = "outbound"
	VerdictDNS      Verdict = "dns"
	VerdictDropped  Verdict = "dropped"
)

// Owner is the identity of the socket a packet comes from.
type Owner struct{ UID, GID uint32 }

// Packet is the first packet of a connection, unless State says otherwise. Owner is nil if no socket of this namespace
// sent it.
type Packet struct {
	Hook           Hook
	Proto          uint8
	Src, Dst       netip.AddrPort
	In, Out        string // interfaces
	Owner          *Owner
	Mark, ConnMark uint32 // of the packet and its connection
	State          uint32 // StateNew if 0
}

// Step is one rule a packet was held against.
type Step struct {
	Rule    Rule
	Matched bool
}

// Trace is a packet's way: every rule it met, and what they decided.
type Trace struct {
	Verdict Verdict
	To      netip.Addr     // where DNAT sends the connection; not valid if it isn't DNAT that captures
	Port    uint16         // where the connection goes: the proxy's port, or its own if left
	OrigDst netip.AddrPort // what SO_ORIGINAL_DST says at the proxy's port
	Decided string         // id of the rule that decided; "" if none did
	Zone    uint16         // of conntrack
	Mark    uint32         // of the packet, at the end
	Steps   []Step
}

// Eval follows a packet through the rules. It alone knows what they mean: explain and every behavioural test use it.
// Live sets hold what p.First says.
func (p *Plan) Eval(packet Packet) Trace { return p.Rules().Eval(packet) }

// Eval is the same for rules that may be no plan's.
func (r *Ruleset) Eval(packet Packet) Trace {
	trace := Trace{Verdict: VerdictLeft, Port: packet.Dst.Port(), OrigDst: packet.Dst, Mark: packet.Mark}
	for _, chain := range r.at(packet.Hook) {
		packet.Mark = trace.Mark
		for chain != nil && trace.Verdict != VerdictDropped {
			chain = r.chain(trace.walk(*chain, packet))
		}
	}
	return trace
}

// at are the base chains of a hook in the order packets pass them.
func (r *Ruleset) at(hook Hook) []*Chain {
	var bases []*Chain
	for i, c := range r.Chains {
		if c.Base && c.Hook == hook {
			bases = append(bases, &r.Chains[i])
		}
	}
	slices.SortStableFunc(bases, func(a, b *Chain) int { return cmp.Compare(a.Priority, b.Priority) })
	return bases
}

func (r *Ruleset) chain(name string) *Chain {
	for i, c := range r.Chains {
		if c.Name == name {
			return &r.Chains[i]
		}
	}
	return nil
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
		if !chain.Aside || rule.Do.Kind == DoDrop {
			t.Decided = rule.ID
		}
		t.do(rule.Do, packet)
		return ""
	}
	return ""
}

func (t *Trace) do(a Action, packet Packet) {
	switch a.Kind {
	case DoRedirect, DoDNAT, DoTProxy:
		t.Verdict, t.Port, t.To = a.To, a.Port, a.Addr
		if a.Kind == DoTProxy {
			t.Mark = a.Mark
		}
	case DoDrop:
		t.Verdict = VerdictDropped
	case DoZone:
		t.Zone = a.Zone
	case DoMark:
		t.Mark = a.Mark
	case DoRestoreMark:
		t.Mark = packet.ConnMark
	case DoReturn, DoGoto, DoSaveMark:
	}
}
