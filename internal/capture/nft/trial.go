package nft

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/google/nftables"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// trialTable is made and removed in one transaction, so nobody ever sees it.
const trialTable = plan.TableName + "_trial"

// lacks tries each thing these rules do, once and at its place. A kernel that takes that refused something else.
func (b *Backend) lacks(want *plan.Ruleset) bool {
	t := b.transaction(trialTable)
	t.conn.AddTable(t.table)
	for _, c := range trials(want) {
		added := t.conn.AddChain(chain(t.table, c))
		for _, r := range c.Rules {
			e := &encoder{}
			e.action(r.Do)
			t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: added, Exprs: e.exprs})
		}
	}
	t.conn.DelTable(t.table)
	err := t.conn.Flush()
	return isLack(errors.Join(err, b.reopen()))
}

// trials are chains with what a kernel may have no module for: always a redirect, and what else the rules do.
func trials(want *plan.Ruleset) []plan.Chain {
	does := map[plan.ActionKind]bool{plan.DoRedirect: true}
	for _, c := range want.Chains {
		for _, r := range c.Rules {
			does[r.Do.Kind] = true
		}
	}
	all := []plan.Chain{
		trial(plan.Prerouting, plan.TypeNAT, -100, plan.Action{Kind: plan.DoRedirect, Port: 1}),
		trial(plan.Output, plan.TypeNAT, -100, plan.Action{Kind: plan.DoDNAT, Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port: 1}),
		trial(plan.Prerouting, plan.TypeFilter, -150, plan.Action{Kind: plan.DoTProxy, Port: 1, Mark: 1}),
		trial(plan.Prerouting, plan.TypeFilter, -300, plan.Action{Kind: plan.DoZone, Zone: 1}),
		trial(plan.Output, plan.TypeRoute, -150, plan.Action{Kind: plan.DoRestoreMark}),
	}
	return slices.DeleteFunc(all, func(c plan.Chain) bool { return !does[c.Rules[0].Do.Kind] })
}

func trial(hook plan.Hook, kind plan.ChainType, priority int32, do plan.Action) plan.Chain {
	return plan.Chain{
		Name: "trial_" + string(hook) + "_" + string(kind) + map[bool]string{true: "_raw"}[priority == -300],
		Base: true, Hook: hook, Type: kind, Priority: priority, Rules: []plan.Rule{{Do: do}},
	}
}
