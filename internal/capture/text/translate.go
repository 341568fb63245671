package text

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// The chains every dialect has.
const (
	nat        = "nat"
	prerouting = "PREROUTING"
	output     = "OUTPUT"
	inbound    = "ISTIO_INBOUND"
	inRedirect = "ISTIO_IN_REDIRECT"
	outbound   = "ISTIO_OUTPUT"
	redirect   = "ISTIO_REDIRECT"
)

// maxRules bounds a chain: lists become a rule an item, and lists multiply.
const maxRules = 1 << 16

// pillion writes the plan's own rules, one by one: base chains become ours with a jump from the built-in one, and a
// chain a rule goes to is written out in its place, for what iptables continues with is the chain after.
func (w *writer) pillion() error {
	rules := w.plan.Rules()
	for _, c := range rules.Chains {
		if !c.Base {
			continue
		}
		name, from := inbound, prerouting
		if c.Hook == plan.Output {
			name, from = outbound, output
		}
		id := string(c.Hook) + jumpID
		w.add(nat, from, id, comment(id), "-j "+name)
		w.chain(nat, name)
		for _, r := range c.Rules {
			if err := w.rule(rules, name, r); err != nil {
				return fmt.Errorf("rule %s can't be said in iptables' language: %w", r.ID, err)
			}
		}
	}
	return nil
}

// rule writes one rule of the plan into a chain.
func (w *writer) rule(rules *plan.Ruleset, chain string, r plan.Rule) error {
	matches, err := w.matches(r.Conds)
	if err != nil {
		return err
	}
	if r.Do.Kind == plan.DoGoto {
		return w.inline(rules, chain, r, matches)
	}
	for _, m := range matches {
		if err := w.one(chain, r, m); err != nil {
			return err
		}
	}
	return nil
}

// inline writes the rules of the chain r goes to, each with r's condition before its own. What falls off that chain's
// end never comes back.
func (w *writer) inline(rules *plan.Ruleset, chain string, r plan.Rule, before []match) error {
	i := slices.IndexFunc(rules.Chains, func(c plan.Chain) bool { return c.Name == r.Do.Chain })
	if i < 0 {
		return fmt.Errorf("there is no chain %s", r.Do.Chain)
	}
	target := rules.Chains[i].Rules
	if n := len(target); n == 0 || len(target[n-1].Conds) > 0 {
		target = append(slices.Clone(target), plan.Rule{ID: r.ID})
	}
	for _, inner := range target {
		after, err := w.matches(inner.Conds)
		if err != nil {
			return err
		}
		both, err := product(before, after)
		if err != nil {
			return err
		}
		for _, m := range both {
			if err := w.one(chain, inner, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// one writes a rule for one match.
func (w *writer) one(chain string, r plan.Rule, m match) error {
	target, err := w.target(r.Do, m)
	if err != nil {
		return err
	}
	words, err := m.words()
	if err != nil {
		return err
	}
	w.add(nat, chain, r.ID, append(words, comment(r.ID), target)...)
	if n := len(w.chain(nat, chain).Rules); n > maxRules {
		return fmt.Errorf("chain %s would have more than %d rules", chain, maxRules)
	}
	return nil
}

func comment(id string) string { return "-m comment --comment " + strconv.Quote(id) }

// target is the right side. Both ways to the proxy have a chain of their own, so that a listing reads like Istio's.
func (w *writer) target(do plan.Action, m match) (string, error) {
	switch {
	case do.Kind == plan.DoReturn:
		return "-j RETURN", nil
	case do.Kind != plan.DoRedirect:
		return "", fmt.Errorf("action %q is unknown here", do)
	case m.proto == "":
		return "", fmt.Errorf("action %q needs a protocol", do)
	}
	name := map[plan.Verdict]string{plan.VerdictInbound: inRedirect, plan.VerdictOutbound: redirect}[do.To]
	if name == "" || m.proto != "tcp" {
		return fmt.Sprintf("-j REDIRECT --to-ports %d", do.Port), nil
	}
	if c := w.chain(nat, name); len(c.Rules) == 0 {
		id := string(do.To) + ".redirect"
		w.add(nat, name, id, "-p tcp", comment(id), fmt.Sprintf("-j REDIRECT --to-ports %d", do.Port))
	}
	return "-j " + name, nil
}

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
	case plan.FieldPort:
		return ports(c, ""), nil
	case plan.FieldUID:
		return owners(c, "--uid-owner"), nil
	case plan.FieldGID:
		return owners(c, "--gid-owner"), nil
	}
	return nil, fmt.Errorf("field %d is unknown here", c.Field)
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
		prefixes = c.Set.Prefixes
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
