package capture

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Stale is what a backend holds that may not be the one in use.
type Stale struct {
	Name   string // of the backend
	Chains []string
	Marked bool // it is ours; else Istio or TSF may have made it
	Remove func() error
}

// stale lists what is there of every backend.
func (t there) stale(b Backends) []Stale {
	var list []Stale
	if t.xtables.Own {
		list = append(list, Stale{Nftables, []string{"table inet " + plan.TableName}, true, func() error { return removeTable(b.NFT) }})
	}
	if len(t.xtables.Chains) > 0 {
		list = append(list, Stale{"iptables-nft", t.xtables.Chains, t.xtables.Marked, func() error { return b.NFT.RemoveXtables(t.xtables) }})
	}
	if len(t.legacyChains) > 0 {
		list = append(list, Stale{"iptables-legacy", t.legacyChains, t.legacyMarked, t.legacyRemove})
	}
	return list
}

func removeTable(b *nft.Backend) error {
	if _, err := b.Compare(&plan.Ruleset{}, ""); err != nil {
		return err
	}
	return b.Replace(&plan.Ruleset{}, "")
}

// unused is what goes: everything of ours in backends that aren't in use, and what others may have made if that was
// asked for or nothing at all is to stay.
func (s System) unused(p *plan.Plan) []Stale {
	all := s.Reconcile || p.Empty()
	return slices.DeleteFunc(slices.Clone(s.Stale), func(x Stale) bool {
		return x.Name == s.Rules.Name() || (!x.Marked && !all)
	})
}

// sweep removes what isn't used any more. It comes last: until then the old rules capture.
func (s System) sweep(p *plan.Plan) (removed int, err error) {
	for _, x := range s.unused(p) {
		if err := x.Remove(); err != nil {
			return removed, fmt.Errorf("the plan is in force, but rules of %s remain: %w", x.Name, err)
		}
		removed += len(x.Chains)
	}
	return removed, nil
}

// surplus is what sweep would remove.
func (s System) surplus(p *plan.Plan) []plan.Difference {
	var list []plan.Difference
	for _, x := range s.unused(p) {
		list = append(list, plan.Difference{Kind: plan.Surplus, What: "rules of " + x.Name, Have: strings.Join(x.Chains, ", ")})
	}
	return list
}

// kept warns about what isn't swept.
func (s System) kept(p *plan.Plan) []string {
	var list []string
	unused := s.unused(p)
	for _, x := range s.Stale {
		gone := slices.ContainsFunc(unused, func(u Stale) bool { return u.Name == x.Name })
		if !gone && x.Name != s.Rules.Name() {
			list = append(list, fmt.Sprintf("chains with Istio's names in %s capture too: %s; --reconcile removes them", x.Name, strings.Join(x.Chains, ", ")))
		}
	}
	return list
}
