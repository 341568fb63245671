//go:build linux

package capture_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// mutated are the plans whose every rule is broken in every way: together they have every rule there is.
func mutated() []string {
	return []string{everything, listed, injected + " --ip-families ipv4", "-i 127.0.0.0/8,10.0.0.0/8,fd77::/16 -b 80",
		dnsServers, dnsAll, injected + " --redirect-dns --capture-all-dns -c eth1", injected + " --redirect-dns --capture-all-dns -o 53",
		owned + " --redirect-dns --capture-all-dns", registered, owned, injected + " --proxy-mark 0x100/0xff00 --drop-invalid",
		diverted, divertedSome, nested, nestedDiverted, nestedListed, late}
}

// mutation is one thing wrong with a ruleset, and what verify must name.
type mutation struct {
	name  string
	names []string // one of these
	rules *plan.Ruleset
}

// Whatever is wrong with the rules in the kernel, verify says so and names it. The rules are written by the same
// backend that wrote the right ones: there is no other way to be sure that nothing else differs.
func TestVerifyCatchesEveryMutation(t *testing.T) {
	t.Parallel()
	for _, line := range mutated() {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			ns := nstest.New(t)
			ns.Must(t, func() error {
				p, _, err := apply(line)
				if err != nil {
					return err
				}
				all := mutations(p.Rules())
				if len(all) < 5*countRules(p) {
					t.Errorf("%d mutations of %d rules: this proves little", len(all), countRules(p))
				}
				return with(func(s capture.System) error { return survivors(t, s, p, all) })
			})
		})
	}
}

func countRules(p *plan.Plan) (n int) {
	for _, c := range p.Rules().Chains {
		n += len(c.Rules)
	}
	return n
}

// survivors reports each mutation that verify doesn't see.
func survivors(t *testing.T, s capture.System, p *plan.Plan, all []mutation) error {
	about := fmt.Sprintf("pillion test backend=%s plan=%s", s.Rules.Name(), p.Fingerprint())
	if _, err := s.Rules.Compare(p.Rules(), about); err != nil { // Replace builds on it, and later on Diff's
		return err
	}
	for _, m := range all {
		if err := s.Rules.Replace(m.rules, about); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		differences, _, err := s.Diff(p)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		named := slices.ContainsFunc(differences, func(d plan.Difference) bool { return slices.Contains(m.names, d.What) })
		if !named {
			t.Errorf("%s: verify says %v, want one about %s", m.name, differences, strings.Join(m.names, " or "))
		}
	}
	if _, err := s.Apply(p, false); err != nil {
		return err
	}
	return noDifference(s, p)
}

// mutations breaks a ruleset in every way: each rule deleted, doubled, swapped with the next one, each of its conditions
// dropped or turned round, its action altered; each list one element short or long; each chain elsewhere.
func mutations(right *plan.Ruleset) (all []mutation) {
	for c, chain := range right.Chains {
		all = append(all, ofChain(right, c)...)
		for r := range chain.Rules {
			all = append(all, ofOrder(right, c, r)...)
			all = append(all, ofRule(right, c, r)...)
		}
	}
	for i, set := range right.Sets {
		for what, s := range ofSet(set) {
			wrong := *right
			wrong.Sets = slices.Clone(right.Sets)
			wrong.Sets[i] = s
			all = append(all, mutation{set.Name + ": " + what, []string{"set " + set.Name}, &wrong})
		}
	}
	return all
}

// withRules is the ruleset with another list of rules in a chain.
func withRules(right *plan.Ruleset, c int, rules []plan.Rule) *plan.Ruleset {
	wrong := *right
	wrong.Chains = slices.Clone(right.Chains)
	wrong.Chains[c].Rules = rules
	return &wrong
}

func ofChain(right *plan.Ruleset, c int) []mutation {
	if !right.Chains[c].Base {
		return nil
	}
	later := withRules(right, c, right.Chains[c].Rules)
	later.Chains[c].Priority++
	name := right.Chains[c].Name
	return []mutation{{name + " later", []string{"chain " + name}, later}}
}

func ofOrder(right *plan.Ruleset, c, r int) []mutation {
	rules := right.Chains[c].Rules
	id := "rule " + rules[r].ID
	all := []mutation{
		{"delete " + id, []string{id}, withRules(right, c, slices.Delete(slices.Clone(rules), r, r+1))},
		{"double " + id, []string{id}, withRules(right, c, slices.Insert(slices.Clone(rules), r, rules[r]))},
	}
	if r+1 < len(rules) {
		swapped := slices.Clone(rules)
		swapped[r], swapped[r+1] = rules[r+1], rules[r]
		all = append(all, mutation{"swap " + id, []string{id, "rule " + rules[r+1].ID}, withRules(right, c, swapped)})
	}
	return all
}

func ofRule(right *plan.Ruleset, c, r int) (all []mutation) {
	rule := right.Chains[c].Rules[r]
	alter := func(how string, conds []plan.Cond, do plan.Action) {
		rules := slices.Clone(right.Chains[c].Rules)
		rules[r].Conds, rules[r].Do = conds, do
		id := "rule " + rule.ID
		all = append(all, mutation{how + " of " + id, []string{id}, withRules(right, c, rules)})
	}
	for i := range rule.Conds {
		turned := slices.Clone(rule.Conds)
		turned[i].Not = !turned[i].Not
		alter(fmt.Sprintf("negation %d", i), turned, rule.Do)
		alter(fmt.Sprintf("lack of condition %d", i), slices.Delete(slices.Clone(rule.Conds), i, i+1), rule.Do)
	}
	if rule.Do.Kind != plan.DoReturn {
		alter("return instead", rule.Conds, plan.Action{})
	}
	if rule.Do.Kind != plan.DoDrop {
		alter("drop instead", rule.Conds, plan.Action{Kind: plan.DoDrop})
	}
	for how, other := range otherActions(rule.Do) {
		alter(how, rule.Conds, other)
	}
	return all
}

// otherActions are nearly the same.
func otherActions(do plan.Action) map[string]plan.Action {
	port, mark, zone, addr := do, do, do, do
	port.Port, mark.Mark, zone.Zone, addr.Addr = do.Port+1, do.Mark+1, do.Zone+1, do.Addr.Next()
	switch do.Kind {
	case plan.DoRedirect:
		return map[string]plan.Action{"another port": port}
	case plan.DoDNAT:
		return map[string]plan.Action{"another port": port, "another address": addr}
	case plan.DoTProxy:
		return map[string]plan.Action{"another port": port, "another mark": mark}
	case plan.DoMark:
		return map[string]plan.Action{"another mark": mark}
	case plan.DoZone:
		return map[string]plan.Action{"another zone": zone}
	default:
		return nil
	}
}

func ofSet(right *plan.Set) map[string]*plan.Set {
	wrong := map[string]*plan.Set{}
	for i := range right.Ranges {
		short, wide := *right, *right
		short.Ranges = slices.Delete(slices.Clone(right.Ranges), i, i+1)
		wrong[fmt.Sprintf("range %d is missing", i)] = &short
		if right.Kind == plan.KindPort && right.Ranges[i].Hi < 65535 {
			wide.Ranges = slices.Clone(right.Ranges)
			wide.Ranges[i].Hi++
			wrong[fmt.Sprintf("range %d is longer", i)] = &wide
		}
	}
	for i := range right.Prefixes {
		short, narrow := *right, *right
		short.Prefixes = slices.Delete(slices.Clone(right.Prefixes), i, i+1)
		wrong[fmt.Sprintf("prefix %d is missing", i)] = &short
		if p := right.Prefixes[i]; !p.IsSingleIP() {
			narrow.Prefixes = slices.Clone(right.Prefixes)
			narrow.Prefixes[i] = netip.PrefixFrom(p.Addr(), p.Bits()+1)
			wrong[fmt.Sprintf("prefix %d is narrower", i)] = &narrow
		}
	}
	for i := range right.Names {
		short := *right
		short.Names = slices.Delete(slices.Clone(right.Names), i, i+1)
		wrong[fmt.Sprintf("name %d is missing", i)] = &short
	}
	return wrong
}
