package nft

import (
	"errors"
	"slices"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// A list and the rules that look into it can't be made in one transaction without a leak: kernels publish the contents
// of an interval set a moment after the rules of the same transaction are in force, and until then the set is empty to
// packets. On Linux 6.18 some 3 of 9000 connections escaped in 200 rewrites. So lists that rules in force are about to
// need are made beforehand, under a name of their own if the present rules use a list of that name with other contents.

// aside is what a list's name ends with while its right one is taken.
const aside = "_b"

// steps are the rulesets to pass through, the last one being want itself.
func (s *state) steps(want *plan.Ruleset) []*plan.Ruleset {
	taken := map[string]*plan.Set{}
	for _, w := range want.Sets {
		if !w.Live && slices.ContainsFunc(s.sets, func(h knownSet) bool { return h.set.Name == w.Name && !sameSet(h, w) }) {
			other := *w
			other.Name += aside
			taken[w.Name] = &other
		}
	}
	if len(taken) == 0 || len(s.rules) == 0 {
		return []*plan.Ruleset{want}
	}
	return []*plan.Ruleset{renamed(want, taken), want}
}

// renamed is a ruleset that uses other lists instead of those of the same name.
func renamed(want *plan.Ruleset, lists map[string]*plan.Set) *plan.Ruleset {
	other := *want
	other.Sets = slices.Clone(want.Sets)
	for i, s := range other.Sets {
		if l := lists[s.Name]; l != nil {
			other.Sets[i] = l
		}
	}
	other.Chains = slices.Clone(want.Chains)
	for c, chain := range other.Chains {
		other.Chains[c].Rules = slices.Clone(chain.Rules)
		for r, rule := range chain.Rules {
			conds := slices.Clone(rule.Conds)
			for i, cond := range conds {
				if cond.Set != nil && lists[cond.Set.Name] != nil {
					conds[i].Set = lists[cond.Set.Name]
				}
			}
			other.Chains[c].Rules[r].Conds = conds
		}
	}
	return &other
}

// prepare makes the lists that want's rules need and rules in force don't. It changes nothing for any packet, so an
// error only means that the rules will make their lists themselves.
func (b *Backend) prepare(want *plan.Ruleset) error {
	if b.have.table == nil || len(b.have.rules) == 0 {
		return nil
	}
	t := b.transaction(plan.TableName)
	added := 0
	for i, s := range want.Sets {
		at := slices.IndexFunc(b.have.sets, func(h knownSet) bool { return h.set.Name == s.Name })
		if at >= 0 && (s.Live || sameSet(b.have.sets[at], s)) {
			continue
		}
		if at >= 0 {
			t.conn.DelSet(b.have.sets[at].set) // left by a run that was killed
		}
		if err := t.addSet(s, i+1); err != nil {
			return errors.Join(err, b.reopen())
		}
		added++
	}
	if added == 0 {
		return nil
	}
	if err := b.conn.Flush(); err != nil {
		return errors.Join(err, b.reopen())
	}
	have, err := b.readWhole()
	if err == nil {
		b.have = have
	}
	return err
}
