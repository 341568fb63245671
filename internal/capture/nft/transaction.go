package nft

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// aboutChain says which build wrote which plan; nothing goes there.
const aboutChain = "about"

// elementsPerMessage keeps a message below netlink's 64 KiB for one attribute.
const elementsPerMessage = 500

// transaction collects changes that come into force together.
type transaction struct {
	conn  *nftables.Conn
	table *nftables.Table
}

// fill makes the table what want says, whatever have says it is now. Rules go first, for nothing they refer to can be
// removed while they stand; counters that stay are not touched, or they'd count from zero.
func (t *transaction) fill(have *state, want *plan.Ruleset, about string) error {
	t.conn.AddTable(t.table)
	t.conn.FlushTable(t.table)
	t.removeStale(have, want)
	for _, c := range want.Chains {
		t.conn.AddChain(chain(t.table, c))
		t.addCounters(have, c)
	}
	for i, s := range want.Sets {
		if slices.ContainsFunc(have.sets, func(h knownSet) bool { return h.set.Name == s.Name && h.stays(want) }) {
			continue
		}
		if err := t.addSet(s, i+1); err != nil {
			return err
		}
	}
	t.addAbout(about)
	for _, c := range want.Chains {
		t.addRules(c)
	}
	return nil
}

// stays says that a set is as the plan wants it, or a live one of the plan's: what that holds was put there since, and
// isn't apply's to touch.
func (h knownSet) stays(want *plan.Ruleset) bool {
	return slices.ContainsFunc(want.Sets, func(w *plan.Set) bool { return w.Name == h.set.Name && sameSet(h, w) })
}

// removeStale takes away what the new rules don't need.
func (t *transaction) removeStale(have *state, want *plan.Ruleset) {
	for _, c := range have.chains {
		keep := c.Name == aboutChain || slices.ContainsFunc(want.Chains, func(w plan.Chain) bool { return sameChain(c, w) })
		if !keep {
			t.conn.DelChain(c)
		}
	}
	for _, s := range have.sets {
		if !s.stays(want) {
			t.conn.DelSet(s.set)
		}
	}
	for name := range have.counters {
		if !wantsCounter(want, name) {
			t.conn.DeleteObject(&nftables.CounterObj{Table: t.table, Name: name})
		}
	}
}

func wantsCounter(want *plan.Ruleset, name string) bool {
	return slices.ContainsFunc(want.Chains, func(c plan.Chain) bool {
		return slices.ContainsFunc(c.Rules, func(r plan.Rule) bool { return r.ID == name })
	})
}

func (t *transaction) addCounters(have *state, c plan.Chain) {
	for _, r := range c.Rules {
		if _, exists := have.counters[r.ID]; !exists {
			t.conn.AddObj(&nftables.CounterObj{Table: t.table, Name: r.ID})
		}
	}
}

func (t *transaction) addSet(s *plan.Set, id int) error {
	declared := set(t.table, s, id)
	if err := t.conn.AddSet(declared, nil); err != nil {
		return err
	}
	for part := range slices.Chunk(elements(spans(s), s.Interval()), elementsPerMessage) {
		if err := t.conn.SetAddElements(declared, part); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) addAbout(about string) {
	c := t.conn.AddChain(&nftables.Chain{Name: aboutChain, Table: t.table})
	t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: c, Exprs: aboutExprs(), UserData: comment(about)})
}

func aboutExprs() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}} }

func (t *transaction) addRules(c plan.Chain) {
	for _, r := range c.Rules {
		t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: &nftables.Chain{Name: c.Name}, Exprs: encode(r), UserData: comment(r.Comment())})
	}
}

// chain is the kernel's form of a chain.
func chain(table *nftables.Table, c plan.Chain) *nftables.Chain {
	k := &nftables.Chain{Name: c.Name, Table: table}
	if !c.Base {
		return k
	}
	accept := nftables.ChainPolicyAccept
	k.Type, k.Policy = nftables.ChainType(c.Type), &accept
	k.Priority = nftables.ChainPriorityRef(nftables.ChainPriority(c.Priority))
	k.Hooknum = nftables.ChainHookPrerouting
	if c.Hook == plan.Output {
		k.Hooknum = nftables.ChainHookOutput
	}
	return k
}

// sameChain compares everything of a chain but its rules.
func sameChain(have *nftables.Chain, want plan.Chain) bool {
	w := chain(have.Table, want)
	return have.Name == w.Name && have.Type == w.Type && same(have.Hooknum, w.Hooknum) &&
		same(have.Priority, w.Priority) && same(have.Policy, w.Policy)
}

func same[T comparable](a, b *T) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }
