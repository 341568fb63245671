//go:build linux

package capture_test

import (
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Every rule is there for some connection: without it, one that could be made in a pod fares otherwise. What follows
// are the rules without which none does, and why they stay.
var spare = map[string]string{
	"output.identity.leave":          "the end of a chain that was gone to leaves as well; the rule counts, and is there to be read",
	"output.identity.others":         "the same",
	"output.passthrough.divert_mark": "the rule after it would set the mark to what it is already",
	"prerouting.capture.refuse":      "for the time without a listening proxy, which Eval doesn't know: see TestNoProxyNoConnection",
}

// registered6 is in every live set that could hold it.
const registered6 = "fd88::1"

func TestEveryRuleHasAPurpose(t *testing.T) {
	t.Parallel()
	packets := possible()
	useless := map[string]string{} // by id: a plan that has it
	useful := map[string]bool{}
	for _, line := range mutated() {
		p, err := planOf(line, addressList{nstest.PodV4, nstest.PodV6})
		if err != nil {
			t.Fatal(err)
		}
		p.First.Out = append(p.First.Out, netip.MustParseAddr(registered6))
		right := p.Rules()
		before := verdicts(right, packets)
		for c, chain := range right.Chains {
			for r, rule := range chain.Rules {
				deleted := ofOrder(right, c, r)[0]
				useless[rule.ID] = rule.String() + "\nof " + line
				useful[rule.ID] = useful[rule.ID] || matters(deleted.rules, packets, before)
			}
		}
	}
	for id, rule := range useless {
		switch _, known := spare[id]; {
		case useful[id] && known:
			t.Errorf("rule %s isn't spare: a connection fares otherwise without it", id)
		case !useful[id] && !known:
			t.Errorf("no connection fares otherwise without rule %s", rule)
		}
	}
	for id := range spare {
		if useless[id] == "" {
			t.Errorf("no plan has rule %s, which is called spare", id)
		}
	}
}

// possible are the matrix's packets and what sockets can't easily make: other marks, states and interfaces.
func possible() (all []plan.Packet) {
	for _, f := range cells() {
		local := netip.AddrPortFrom(netip.MustParseAddr(nstest.PodV4), 40000)
		switch dst := netip.MustParseAddrPort(f.dst).Addr(); {
		case f.src != "":
			local = netip.AddrPortFrom(netip.MustParseAddr(f.src), 40000)
		case f.in && dst.Is4():
			local = netip.MustParseAddrPort("10.77.0.1:40000")
		case f.in:
			local = netip.MustParseAddrPort("[fd77::1]:40000")
		case dst.Is6():
			local = netip.AddrPortFrom(netip.MustParseAddr(nstest.PodV6), 40000)
		}
		all = append(all, f.packet(local))
	}
	return append(all, unusual(all)...)
}

func unusual(usual []plan.Packet) (all []plan.Packet) {
	for i, p := range usual {
		for _, change := range []func(*plan.Packet){
			func(p *plan.Packet) { p.Mark = 0x100 },
			func(p *plan.Packet) { p.Mark = 1337 },
			func(p *plan.Packet) { p.Mark = 5 },
			func(p *plan.Packet) { p.ConnMark = 1337 },
			func(p *plan.Packet) { p.State = plan.StateInvalid },
			func(p *plan.Packet) { p.State = plan.StateEstablished },
			func(p *plan.Packet) { p.Src, p.Dst = p.Dst, p.Src },
			func(p *plan.Packet) { p.Src = netip.AddrPortFrom(p.Src.Addr(), 15053) },
			func(p *plan.Packet) { p.Src = netip.AddrPortFrom(p.Src.Addr(), 53) },
			func(p *plan.Packet) { p.Src = netip.AddrPortFrom(p.Src.Addr(), 53); in(p, "eth1") },
			func(p *plan.Packet) { p.Dst = netip.AddrPortFrom(p.Dst.Addr(), 65535) },
			func(p *plan.Packet) { in(p, "eth1") },
			func(p *plan.Packet) { in(p, "eth7") },
			func(p *plan.Packet) { in(p, "lo") },
			func(p *plan.Packet) { *p = from(*p, "10.78.0.1", "fd78::1") },
			func(p *plan.Packet) { *p = from(*p, "10.9.0.1", "fd9::1") },
			func(p *plan.Packet) { *p = to(*p, "10.0.0.1", "fd00::1") },
			func(p *plan.Packet) { *p = to(*p, "10.88.0.1", registered6); in(p, "eth1") },
			func(p *plan.Packet) { *p = to(*p, "10.88.0.7", "fd88::7"); in(p, "eth1") },
		} {
			if i%3 == 0 || p.Hook == plan.Prerouting {
				other := p
				change(&other)
				all = append(all, other)
			}
		}
	}
	return all
}

func in(p *plan.Packet, iface string) {
	if p.Hook == plan.Prerouting {
		p.In = iface
	} else {
		p.Out = iface
	}
}

func from(p plan.Packet, v4, v6 string) plan.Packet {
	p.Src = netip.AddrPortFrom(ofFamily(p, v4, v6), p.Src.Port())
	return p
}

func to(p plan.Packet, v4, v6 string) plan.Packet {
	p.Dst = netip.AddrPortFrom(ofFamily(p, v4, v6), p.Dst.Port())
	return p
}

func ofFamily(p plan.Packet, v4, v6 string) netip.Addr {
	if p.Dst.Addr().Is4() {
		return netip.MustParseAddr(v4)
	}
	return netip.MustParseAddr(v6)
}

// fate is what a packet's sender and receiver could notice.
type fate struct {
	verdict plan.Verdict
	to      netip.Addr
	port    uint16
	zone    uint16
	mark    uint32
}

func fateOf(rules *plan.Ruleset, p plan.Packet) fate {
	t := rules.Eval(p)
	return fate{t.Verdict, t.To, t.Port, t.Zone, t.Mark}
}

func verdicts(rules *plan.Ruleset, packets []plan.Packet) []fate {
	all := make([]fate, len(packets))
	for i, p := range packets {
		all[i] = fateOf(rules, p)
	}
	return all
}

func matters(rules *plan.Ruleset, packets []plan.Packet, before []fate) bool {
	for i, p := range packets {
		if fateOf(rules, p) != before[i] {
			return true
		}
	}
	return false
}
