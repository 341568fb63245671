package ipt

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// AddElements puts elements into a live set; they're in force when it returns. Each is a rule here, and a family's rules
// are written as a whole: that takes milliseconds, where nftables takes microseconds. Compare must have been called.
func (b *Backend) AddElements(set string, list []plan.Element) error {
	return b.change(map[string][]plan.Element{set: list}, func(first *plan.Contents) { first.Add(list) })
}

// RemoveElements takes elements out of live sets; those that aren't there don't matter. Compare must have been called.
func (b *Backend) RemoveElements(lists map[string][]plan.Element) error {
	return b.change(lists, func(*plan.Contents) {})
}

// Elements are what a live set holds. Compare must have been called.
func (b *Backend) Elements(set string) ([]plan.Element, error) {
	if b.wanted == nil || b.wanted.Plan == nil {
		return nil, nft.ErrNoLiveSet
	}
	if _, err := b.Compare(b.wanted, ""); err != nil {
		return nil, err
	}
	kind, known := plan.LiveKind(set)
	if !known || !b.exists(set, kind) {
		return nil, fmt.Errorf("%w: %q", nft.ErrNoLiveSet, set)
	}
	first := b.kept(b.wanted).First
	var list []plan.Element
	switch kind {
	case plan.KindProto:
		list = first.Armed
	case plan.KindIPv4Port, plan.KindIPv6Port:
		for _, a := range first.In {
			list = append(list, plan.Element{Addr: a.Addr(), Port: a.Port()})
		}
	default:
		for _, a := range first.Out {
			list = append(list, plan.Element{Addr: a})
		}
	}
	return slices.DeleteFunc(list, func(e plan.Element) bool { return e.Proto == 0 && e.Addr.Is6() != ofV6(kind) }), nil
}

// exists tells whether the rules that were read have a live set.
func (b *Backend) exists(set string, kind plan.Kind) bool {
	v6 := ofV6(kind) || kind == plan.KindProto && !b.wanted.Plan.Families.V4
	_, exists := b.have[v6].live("", set)
	return exists
}

// change reads what is there, takes elements out of it and puts some back, and writes what differs.
func (b *Backend) change(lists map[string][]plan.Element, add func(*plan.Contents)) error {
	if b.wanted == nil || b.wanted.Plan == nil {
		return nft.ErrNoLiveSet
	}
	if _, err := b.Compare(b.wanted, ""); err != nil {
		return err
	}
	gone := map[plan.Element]bool{}
	for name, list := range lists {
		kind, known := plan.LiveKind(name)
		if !known || !b.exists(name, kind) {
			return fmt.Errorf("%w: %q", nft.ErrNoLiveSet, name)
		}
		for _, e := range list {
			gone[e] = true
		}
	}
	p := b.kept(b.wanted)
	p.First.In = slices.DeleteFunc(p.First.In, func(a netip.AddrPort) bool { return gone[plan.Element{Addr: a.Addr(), Port: a.Port()}] })
	p.First.Out = slices.DeleteFunc(p.First.Out, func(a netip.Addr) bool { return gone[plan.Element{Addr: a}] })
	p.First.Armed = slices.DeleteFunc(p.First.Armed, func(e plan.Element) bool { return gone[e] })
	add(&p.First)
	if err := b.plan(p); err != nil {
		return err
	}
	if !b.differs[false] && !b.differs[true] {
		return nil
	}
	return b.Replace(b.wanted, "")
}

func ofV6(kind plan.Kind) bool { return kind == plan.KindIPv6 || kind == plan.KindIPv6Port }

// kept is the wanted plan with what live sets hold in the kernel, where they exist, instead of their first contents.
func (b *Backend) kept(want *plan.Ruleset) *plan.Plan {
	if want.Plan == nil || b.dialect != text.Pillion {
		return want.Plan
	}
	p := *want.Plan
	p.First.In, p.First.Out = slices.Clone(p.First.In), slices.Clone(p.First.Out)
	p.First.Armed = b.armed(p.Families)
	for _, c := range want.Chains {
		for _, r := range c.Rules {
			for _, cond := range r.Conds {
				if cond.Set != nil && cond.Set.Live && cond.Set.Kind != plan.KindProto {
					b.keep(&p.First, r.ID, cond.Set)
				}
			}
		}
	}
	return &p
}

// keep replaces the first contents of a set by what stands in the kernel before its mark.
func (b *Backend) keep(first *plan.Contents, id string, set *plan.Set) {
	v6 := ofV6(set.Kind)
	rules, exists := b.have[v6].live(id, set.Name)
	if !exists {
		return
	}
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

// armed are the protocols for which a family's rules are in force: one jump each.
func (b *Backend) armed(families plan.Families) (list []plan.Element) {
	s := b.have[!families.V4]
	if _, exists := s.live("", plan.SetArmed); !exists {
		return nil
	}
	if c := s.find("nat", "OUTPUT"); c != nil {
		for _, r := range c.rules {
			switch r.after("-p") {
			case "tcp":
				list = append(list, plan.Element{Proto: plan.TCP})
			case "udp":
				list = append(list, plan.Element{Proto: plan.UDP})
			}
		}
	}
	return list
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
