package ipt

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// Leftovers are chains of capture's that are there, and whether a comment of ours marks them; without one Istio or TSF
// may have made them.
func (b *Backend) Leftovers() (chains []string, marked bool, err error) {
	if _, err := b.Compare(&plan.Ruleset{}, ""); err != nil {
		return nil, false, err
	}
	for _, v6 := range []bool{false, true} {
		for _, t := range b.have[v6].tables {
			for _, c := range t.chains {
				if text.Ours(c.name) {
					chains = append(chains, program(v6)+" "+t.name+" "+c.name)
				}
				marked = marked || slices.ContainsFunc(c.rules, func(r rule) bool { return slices.Contains(text.Marks(), r.id()) })
			}
		}
	}
	return chains, marked, nil
}

// Remove takes away everything of capture's.
func (b *Backend) Remove() error {
	if _, err := b.Compare(&plan.Ruleset{}, ""); err != nil {
		return err
	}
	return b.Replace(&plan.Ruleset{}, "")
}
