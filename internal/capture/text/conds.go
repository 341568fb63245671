package text

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// matches are the conditions, all of which must hold: one match or several of which any suffices, none if no packet of
// the family meets them.
func (w *writer) matches(conds []plan.Cond) ([]match, error) {
	all := []match{{}}
	for _, c := range conds {
		alternatives, err := w.cond(c)
		if err == nil {
			all, err = product(all, alternatives)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c, err)
		}
	}
	return all, nil
}

func product(a, b []match) ([]match, error) {
	if len(a)*len(b) > maxRules {
		return nil, fmt.Errorf("its lists make %d rules; want at most %d", len(a)*len(b), maxRules)
	}
	var all []match
	for _, x := range a {
		for _, y := range b {
			joined, never, err := x.join(y)
			if err != nil {
				return nil, err
			}
			if !never {
				all = append(all, joined)
			}
		}
	}
	return all, nil
}

// cond is one condition: a list is a rule an item, and the absence of a list's items is all their absences at once.
func (w *writer) cond(c plan.Cond) ([]match, error) {
	switch c.Field {
	case plan.FieldFamily:
		number := uint32(plan.NFProtoIPv4)
		if w.v6 {
			number = plan.NFProtoIPv6
		}
		if (number == c.Number) == c.Not {
			return nil, nil
		}
		return []match{{}}, nil
	case plan.FieldProto:
		return protos(c)
	case plan.FieldInIface, plan.FieldOutIface:
		return interfaces(c)
	case plan.FieldSrc, plan.FieldDst:
		return w.addresses(c)
	case plan.FieldTCPPort:
		return ports(c, "tcp"), nil
	case plan.FieldUDPPort:
		return ports(c, "udp"), nil
	case plan.FieldUDPSource:
		return sourcePorts(c, "udp"), nil
	case plan.FieldPort:
		return ports(c, ""), nil
	case plan.FieldDstAndTCPPort:
		return w.listed(c)
	default:
		return more(c)
	}
}

// listed are the elements of a live set of addresses and ports.
func (w *writer) listed(c plan.Cond) ([]match, error) {
	if c.Set == nil || c.Not {
		return nil, errTwice
	}
	var all []match
	for _, e := range c.Set.First {
		if e.Addr.Is4() != w.v6 {
			port := plan.Range{Lo: uint32(e.Port), Hi: uint32(e.Port)}
			all = append(all, match{dst: single(e.Addr), proto: "tcp", ports: []portMatch{{ranges: []plan.Range{port}}}})
		}
	}
	return all, nil
}

// more are the conditions that iptables has a module for.
func more(c plan.Cond) ([]match, error) {
	switch c.Field {
	case plan.FieldUID:
		return owners(c, "--uid-owner"), nil
	case plan.FieldGID:
		return owners(c, "--gid-owner"), nil
	case plan.FieldMark:
		return []match{{more: []string{"-m mark " + negated(c.Not) + "--mark " + masked(c.Number, c.Mask)}}}, nil
	case plan.FieldConnMark:
		return []match{{more: []string{"-m connmark " + negated(c.Not) + "--mark " + masked(c.Number, 0)}}}, nil
	case plan.FieldConnState:
		return []match{{more: []string{"-m conntrack " + negated(c.Not) + "--ctstate " + states(c.Mask)}}}, nil
	}
	return nil, fmt.Errorf("field %d is unknown here", c.Field)
}

// masked is iptables' form of a mark; no mask, and one of all bits, is left out.
func masked(value, mask uint32) string {
	if mask == 0 || mask == 1<<32-1 {
		return fmt.Sprintf("0x%x", value)
	}
	return fmt.Sprintf("0x%x/0x%x", value, mask)
}

// states are listed in iptables' order.
func states(mask uint32) string {
	var names []string
	for _, s := range []struct {
		bit  uint32
		name string
	}{{plan.StateInvalid, "INVALID"}, {plan.StateNew, "NEW"}, {plan.StateRelated, "RELATED"}, {plan.StateEstablished, "ESTABLISHED"}} {
		if mask&s.bit != 0 {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, ",")
}

func sourcePorts(c plan.Cond, proto string) []match {
	all := ports(c, proto)
	for _, m := range all {
		for i := range m.ports {
			m.ports[i].source = true
		}
	}
	return all
}

func numbers(c plan.Cond) []plan.Range {
	if c.Set != nil {
		return c.Set.Ranges
	}
	return []plan.Range{{Lo: c.Number, Hi: c.Number}}
}

func protos(c plan.Cond) ([]match, error) {
	if c.Not {
		return nil, errTwice
	}
	var list []match
	for _, r := range numbers(c) {
		name, known := map[plan.Range]string{{Lo: plan.TCP, Hi: plan.TCP}: "tcp", {Lo: plan.UDP, Hi: plan.UDP}: "udp"}[r]
		if !known {
			return nil, fmt.Errorf("protocol %s is unknown here", r)
		}
		list = append(list, match{proto: name})
	}
	return list, nil
}

func ports(c plan.Cond, proto string) []match {
	lists := portLists(numbers(c))
	if c.Not {
		m := match{proto: proto}
		for _, l := range lists {
			m.ports = append(m.ports, portMatch{ranges: l, not: true})
		}
		return []match{m}
	}
	var all []match
	for _, l := range lists {
		all = append(all, match{proto: proto, ports: []portMatch{{ranges: l}}})
	}
	return all
}

func owners(c plan.Cond, option string) []match {
	var all []match
	var none match
	for _, r := range numbers(c) {
		text := owner(option, c.Not, r)
		all = append(all, match{more: []string{text}})
		none.more = append(none.more, text)
	}
	if c.Not {
		return []match{none}
	}
	return all
}

// interfaces refuses what iptables would read as a pattern.
func interfaces(c plan.Cond) ([]match, error) {
	names := []string{c.Text}
	if c.Set != nil {
		names = c.Set.Names
	}
	if c.Not && len(names) > 1 {
		return nil, errTwice
	}
	var all []match
	for _, name := range names {
		if strings.HasSuffix(name, "+") {
			return nil, fmt.Errorf("iptables reads interface %q as a pattern", name)
		}
		if c.Field == plan.FieldInIface {
			all = append(all, match{in: negated(c.Not) + "-i " + name})
		} else {
			all = append(all, match{out: negated(c.Not) + "-o " + name})
		}
	}
	return all, nil
}

func (w *writer) addresses(c plan.Cond) ([]match, error) {
	prefixes := []netip.Prefix{c.Prefix}
	if c.Set != nil {
		prefixes = slices.Clone(c.Set.Prefixes)
		for _, e := range c.Set.First {
			prefixes = append(prefixes, netip.PrefixFrom(e.Addr, e.Addr.BitLen()))
		}
	}
	prefixes = slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return p.Addr().Is4() == w.v6 })
	if c.Not && len(prefixes) > 1 {
		return nil, errTwice
	}
	var all []match
	for _, p := range prefixes {
		if p.Bits() == 0 && c.Not {
			continue // nothing is outside it
		}
		if c.Field == plan.FieldSrc {
			all = append(all, match{src: address("-s", c.Not, p)})
		} else {
			all = append(all, match{dst: address("-d", c.Not, p)})
		}
	}
	return all, nil
}
