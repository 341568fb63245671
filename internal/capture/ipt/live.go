package ipt

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// kept is the wanted plan with what live sets hold in the kernel, where they exist, instead of their first contents.
func (b *Backend) kept(want *plan.Ruleset) *plan.Plan {
	if want.Plan == nil || b.dialect != text.Pillion {
		return want.Plan
	}
	p := *want.Plan
	for _, c := range want.Chains {
		for _, r := range c.Rules {
			for _, cond := range r.Conds {
				if cond.Set != nil && cond.Set.Live {
					b.keep(&p.First, r.ID, cond.Set)
				}
			}
		}
	}
	return &p
}

// keep replaces the first contents of a set by what stands in the kernel before its mark.
func (b *Backend) keep(first *plan.Contents, id string, set *plan.Set) {
	v6 := set.Kind == plan.KindIPv6 || set.Kind == plan.KindIPv6Port
	rules, exists := b.have[v6].live(id, set.Name)
	if !exists {
		return
	}
	first.In, first.Out = slices.Clone(first.In), slices.Clone(first.Out)
	switch set.Kind {
	case plan.KindIPv4Port, plan.KindIPv6Port:
		first.In = slices.DeleteFunc(first.In, func(a netip.AddrPort) bool { return a.Addr().Is6() == v6 })
	default:
		first.Out = slices.DeleteFunc(first.Out, func(a netip.Addr) bool { return a.Is6() == v6 })
	}
	for _, r := range rules {
		prefix, err := netip.ParsePrefix(r.after("-d"))
		if err != nil {
			continue // somebody else's edit: the comparison sees it
		}
		port, _ := strconv.ParseUint(r.after("--dport"), 10, 16)
		if port != 0 {
			first.In = append(first.In, netip.AddrPortFrom(prefix.Addr(), uint16(port)))
		} else {
			first.Out = append(first.Out, prefix.Addr())
		}
	}
}

// live are the rules of a live set, and whether it exists.
func (s *state) live(id, set string) (elements []rule, exists bool) {
	for _, t := range s.tables {
		for _, c := range t.chains {
			for _, r := range c.rules {
				switch r.id() {
				case id:
					elements = append(elements, r)
				case text.LiveMark + set:
					exists = true
				}
			}
		}
	}
	return elements, exists
}
