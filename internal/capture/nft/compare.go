package nft

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// comparison collects how a state differs from a ruleset.
type comparison struct {
	have *state
	list []plan.Difference
}

func (s *state) compare(want *plan.Ruleset, about string) []plan.Difference {
	c := &comparison{have: s}
	if len(want.Chains) == 0 {
		if s.table != nil {
			c.note(plan.Surplus, "table inet "+plan.TableName, "", "a table of capture's")
		}
		return c.list
	}
	if s.table != nil && s.table.Flags != 0 {
		c.note(plan.Altered, "table inet "+plan.TableName, "no flags", "flags such as dormant")
	}
	c.chains(want)
	c.about(about)
	c.sets(want)
	c.counters(want)
	return c.list
}

func (c *comparison) note(kind plan.DifferenceKind, what, want, have string) {
	c.list = append(c.list, plan.Difference{Kind: kind, What: what, Want: want, Have: have})
}

func (c *comparison) chains(want *plan.Ruleset) {
	for _, w := range want.Chains {
		i := slices.IndexFunc(c.have.chains, func(h *nftables.Chain) bool { return h.Name == w.Name })
		switch {
		case i < 0:
			c.note(plan.Missing, "chain "+w.Name, "", "")
		case !sameChain(c.have.chains[i], w):
			c.note(plan.Altered, "chain "+w.Name, "", "another hook, priority or policy")
		}
		c.rules(w)
	}
	for _, h := range c.have.chains {
		if h.Name != aboutChain && !slices.ContainsFunc(want.Chains, func(w plan.Chain) bool { return h.Name == w.Name }) {
			c.note(plan.Surplus, "chain "+h.Name, "", "")
		}
	}
}

// rules compares one chain in order. What the kernel lists is paired with what is wanted: the same rule first, then by
// the id its comment starts with; what finds no partner is surplus.
func (c *comparison) rules(want plan.Chain) {
	have := c.have.rules[want.Name]
	var kept []string // ids that both sides have, in the kernel's order
	for i, partner := range pair(want.Rules, have) {
		h := have[i]
		if partner == nil {
			c.note(plan.Surplus, strings.TrimSpace("rule "+ruleID(h)), "", describe(h))
			continue
		}
		kept = append(kept, partner.want.ID)
		if !partner.same {
			c.note(plan.Altered, "rule "+partner.want.ID, partner.want.String(), describe(h))
		}
	}
	c.order(want.Rules, kept)
}

// order notes what is missing, and what stands in another's place.
func (c *comparison) order(want []plan.Rule, kept []string) {
	place := 0
	for _, w := range want {
		if !slices.Contains(kept, w.ID) {
			c.note(plan.Missing, "rule "+w.ID, w.String(), "")
			continue
		}
		if kept[place] != w.ID {
			c.note(plan.Moved, "rule "+w.ID, w.String(), kept[place]+" in its place")
		}
		place++
	}
}

// partner is the wanted rule that one of the kernel's stands for.
type partner struct {
	want plan.Rule
	same bool // in everything, not only by its id
}

// pair finds for each of the kernel's rules the wanted one it stands for, nil if none.
func pair(want []plan.Rule, have []rule) []*partner {
	partners := make([]*partner, len(have))
	var rest []plan.Rule
	for _, w := range want {
		comment, exprs := w.Comment(), encode(w)
		same := func(h rule) bool { return h.comment == comment && sameExprs(h.exprs, exprs) }
		if !join(partners, have, &partner{w, true}, same) {
			rest = append(rest, w)
		}
	}
	for _, w := range rest {
		join(partners, have, &partner{w, false}, func(h rule) bool { return ruleID(h) == w.ID })
	}
	return partners
}

// join gives a wanted rule to the first of the kernel's that fits and has none yet.
func join(partners []*partner, have []rule, p *partner, fits func(rule) bool) bool {
	for i, h := range have {
		if partners[i] == nil && fits(h) {
			partners[i] = p
			return true
		}
	}
	return false
}

func ruleID(r rule) string {
	id, _, _ := strings.Cut(r.comment, ":")
	return id
}

func describe(r rule) string {
	return fmt.Sprintf("handle %d in chain %s, comment %q", r.handle, r.chain, r.comment)
}

// about is compared too: another build's rules are rewritten, so that the table says who made it.
func (c *comparison) about(about string) {
	have := c.have.rules[aboutChain]
	if len(have) != 1 || have[0].comment != about || !sameExprs(have[0].exprs, aboutExprs()) {
		text := ""
		if len(have) > 0 {
			text = describe(have[0])
		}
		c.note(plan.Altered, "chain "+aboutChain, about, text)
	}
}

func (c *comparison) sets(want *plan.Ruleset) {
	for _, w := range want.Sets {
		i := slices.IndexFunc(c.have.sets, func(h knownSet) bool { return h.set.Name == w.Name })
		text := strings.Join(w.Elements(), ", ")
		switch {
		case i < 0:
			c.note(plan.Missing, "set "+w.Name, text, "")
		case !sameSet(c.have.sets[i], w):
			c.note(plan.Altered, "set "+w.Name, text, fmt.Sprintf("%d other elements", len(c.have.sets[i].spans)))
		}
	}
	for _, h := range c.have.sets {
		if !slices.ContainsFunc(want.Sets, func(w *plan.Set) bool { return h.set.Name == w.Name }) {
			c.note(plan.Surplus, "set "+h.set.Name, "", "")
		}
	}
}

// sameSet holds a live set's declaration against the plan, another one's contents too.
func sameSet(have knownSet, want *plan.Set) bool {
	return sameType(have, want) && (want.Live || sameSpans(have.spans, spans(want)))
}

func sameType(have knownSet, want *plan.Set) bool {
	w := set(have.set.Table, want, 1)
	return have.set.Interval == w.Interval && have.set.KeyType.GetNFTMagic() == w.KeyType.GetNFTMagic() && !have.set.IsMap
}

func (c *comparison) counters(want *plan.Ruleset) {
	for _, chain := range want.Chains {
		for _, r := range chain.Rules {
			if _, exists := c.have.counters[r.ID]; !exists {
				c.note(plan.Missing, "counter "+r.ID, "", "")
			}
		}
	}
	for name := range c.have.counters {
		if !wantsCounter(want, name) {
			c.note(plan.Surplus, "counter "+name, "", "")
		}
	}
}
