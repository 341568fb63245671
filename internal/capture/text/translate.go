package text

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// The tables and chains every dialect has.
const (
	nat        = "nat"
	raw        = "raw"
	mangle     = "mangle"
	prerouting = "PREROUTING"
	output     = "OUTPUT"
	inbound    = "ISTIO_INBOUND"
	inRedirect = "ISTIO_IN_REDIRECT"
	outbound   = "ISTIO_OUTPUT"
	redirect   = "ISTIO_REDIRECT"
	dnsOutput  = "ISTIO_OUTPUT_DNS"
	divert     = "ISTIO_DIVERT"
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
		p, err := placeOf(c)
		if err != nil {
			return err
		}
		w.jump(c, p)
		for _, r := range c.Rules {
			if err := w.rule(rules, p, r, []match{{}}); err != nil {
				return fmt.Errorf("rule %s can't be said in iptables' language: %w", r.ID, err)
			}
		}
	}
	return nil
}

// jump leads into a chain of ours. With late arming there's a jump for each protocol that is armed, and the rule that
// leaves the others alone is nothing but a mark.
func (w *writer) jump(c plan.Chain, p place) {
	w.chain(p.table, p.chain)
	for _, r := range c.Rules {
		if armed := armedBy(r); armed != nil {
			for _, e := range armed.First {
				w.add(p.table, p.from, p.jump, "-p "+e.String(), comment(p.jump), "-j "+p.chain)
			}
			return
		}
	}
	w.add(p.table, p.from, p.jump, comment(p.jump), "-j "+p.chain)
}

// armedBy is the set of protocols if a rule is the one that leaves others alone.
func armedBy(r plan.Rule) *plan.Set {
	if len(r.Conds) == 1 && r.Conds[0].Not && r.Conds[0].Set != nil && r.Conds[0].Set.Name == plan.SetArmed {
		return r.Conds[0].Set
	}
	return nil
}

// place is where a base chain's rules stand.
type place struct {
	table, from, chain string
	jump               string // id of the rule that leads there
}

func placeOf(c plan.Chain) (place, error) {
	const rawPriority, manglePriority = -300, -150
	p := place{table: nat, from: prerouting, chain: inbound, jump: string(c.Hook) + jumpID}
	if c.Hook == plan.Output {
		p.from, p.chain = output, outbound
	}
	switch {
	case c.Type == plan.TypeNAT:
		return p, nil
	case c.Priority == rawPriority:
		p.table = raw
		if c.Hook == plan.Output {
			p.chain = dnsOutput
		}
	case c.Priority == manglePriority:
		p.table = mangle
	default:
		return p, fmt.Errorf("chain %s at priority %d has no place in iptables' tables", c.Name, c.Priority)
	}
	p.jump = string(c.Hook) + "." + p.table + jumpID
	return p, nil
}

// rule writes one rule of the plan, for packets that meet what stands before it too.
func (w *writer) rule(rules *plan.Ruleset, p place, r plan.Rule, before []match) error {
	if armedBy(r) != nil {
		w.live(p, r)
		return nil
	}
	own, err := w.matches(r.Conds)
	if err != nil {
		return err
	}
	matches, err := product(before, own)
	if err != nil {
		return err
	}
	if r.Do.Kind == plan.DoGoto {
		return w.inline(rules, p, r, matches)
	}
	for _, m := range matches {
		if err := w.one(p, r, m); err != nil {
			return err
		}
	}
	w.live(p, r)
	return nil
}

// live leaves a rule that does nothing after the elements of a live set: where it is, the set exists, though it may be
// empty, and an apply keeps what it holds.
func (w *writer) live(p place, r plan.Rule) {
	for _, c := range r.Conds {
		if c.Set != nil && c.Set.Live && w.holds(c.Set.Kind) {
			id := LiveMark + c.Set.Name
			w.add(p.table, p.chain, id, comment(id))
		}
	}
}

// LiveMark is what the comment after the elements of a live set starts with; the set's name follows.
const LiveMark = "live."

// holds tells whether a set is of the family, or of both.
func (w *writer) holds(kind plan.Kind) bool {
	return kind == plan.KindProto || w.v6 == (kind == plan.KindIPv6 || kind == plan.KindIPv6Port)
}

// inline writes the rules of the chain r goes to, each with r's condition before its own. What falls off that chain's
// end never comes back.
func (w *writer) inline(rules *plan.Ruleset, p place, r plan.Rule, matches []match) error {
	i := slices.IndexFunc(rules.Chains, func(c plan.Chain) bool { return c.Name == r.Do.Chain })
	if i < 0 {
		return fmt.Errorf("there is no chain %s", r.Do.Chain)
	}
	target := rules.Chains[i].Rules
	if n := len(target); n == 0 || len(target[n-1].Conds) > 0 {
		target = append(slices.Clone(target), plan.Rule{ID: r.ID})
	}
	for _, inner := range target {
		if inner.Do.Kind == plan.DoGoto && inner.Do.Chain == r.Do.Chain {
			return fmt.Errorf("chain %s goes to itself", r.Do.Chain)
		}
		if err := w.rule(rules, p, inner, matches); err != nil {
			return err
		}
	}
	return nil
}

// one writes a rule for one match: a line, or two where iptables goes on after the first.
func (w *writer) one(p place, r plan.Rule, m match) error {
	targets, err := w.targets(p.table, r.Do, m)
	if err != nil {
		return err
	}
	words, err := m.words()
	if err != nil {
		return err
	}
	for _, target := range targets {
		w.add(p.table, p.chain, r.ID, append(slices.Clone(words), comment(r.ID), target)...)
	}
	if n := len(w.chain(p.table, p.chain).Rules); n > maxRules {
		return fmt.Errorf("chain %s would have more than %d rules", p.chain, maxRules)
	}
	return nil
}

func comment(id string) string { return "-m comment --comment " + strconv.Quote(id) }
