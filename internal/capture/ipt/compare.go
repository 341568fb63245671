package ipt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// comparison collects how a family's tables differ from a file, and the counters of rules that are there.
type comparison struct {
	program  string
	have     *state
	counters map[string]nft.Counter
	list     []plan.Difference
}

func (c *comparison) file(want text.File) {
	for _, t := range want.Tables {
		for _, chain := range t.Chains {
			c.chain(t.Name, chain)
		}
	}
	for _, t := range c.have.tables {
		for _, chain := range t.chains {
			if wants(want, t.name, chain.name) {
				continue
			}
			if text.Ours(chain.name) {
				c.note(plan.Surplus, "chain "+chain.name, t.name, "", "")
			}
			for _, r := range chain.rules {
				c.note(plan.Surplus, strings.TrimSpace("rule "+r.id()), t.name, "", "-A "+chain.name+" "+r.spec)
			}
		}
	}
}

func wants(f text.File, table, chain string) bool {
	return slices.ContainsFunc(f.Tables, func(t text.Table) bool {
		return t.Name == table && slices.ContainsFunc(t.Chains, func(c text.Chain) bool { return c.Name == chain })
	})
}

func (c *comparison) note(kind plan.DifferenceKind, what, table, want, have string) {
	what += fmt.Sprintf(" in %s -t %s", c.program, table)
	c.list = append(c.list, plan.Difference{Kind: kind, What: what, Want: want, Have: have})
}

// chain compares one chain in order. A rule of the kernel's stands for the same rule that is wanted, else for one with
// its id; what finds no partner is surplus.
func (c *comparison) chain(table string, want text.Chain) {
	var have []rule
	if found := c.have.find(table, want.Name); found != nil {
		have = found.rules
	} else if text.Ours(want.Name) {
		c.note(plan.Missing, "chain "+want.Name, table, "", "")
	}
	partner := pair(want.Rules, have)
	var kept []int // places of wanted rules, in the kernel's order
	for i, h := range have {
		if partner[i] < 0 {
			c.note(plan.Surplus, strings.TrimSpace("rule "+h.id()), table, "", "-A "+want.Name+" "+h.spec)
			continue
		}
		w := want.Rules[partner[i]]
		kept = append(kept, partner[i])
		c.count(w.ID, h.counter)
		if !h.same(w.Spec) {
			c.note(plan.Altered, "rule "+w.ID, table, "-A "+want.Name+" "+w.Spec, h.spec)
		}
	}
	place := 0
	for i, w := range want.Rules {
		spec := "-A " + want.Name + " " + w.Spec
		switch {
		case !slices.Contains(kept, i):
			c.note(plan.Missing, "rule "+w.ID, table, spec, "")
			continue
		case kept[place] != i:
			c.note(plan.Moved, "rule "+w.ID, table, spec, want.Rules[kept[place]].ID+" in its place")
		}
		place++
	}
}

// count adds up what the lines of one rule counted: lists and families make several of it.
func (c *comparison) count(id string, counter nft.Counter) {
	sum := c.counters[id]
	c.counters[id] = nft.Counter{Packets: sum.Packets + counter.Packets, Bytes: sum.Bytes + counter.Bytes}
}

// pair finds for each of the kernel's rules the place of the wanted one it stands for, -1 if none.
func pair(want []text.Rule, have []rule) []int {
	partner := make([]int, len(have))
	bySpec, byID := map[string][]int{}, map[string][]int{}
	for i, w := range want {
		key := strings.Join(words(w.Spec), "\x00")
		bySpec[key] = append(bySpec[key], i)
	}
	for i, h := range have {
		partner[i] = -1
		key := strings.Join(h.words, "\x00")
		if places := bySpec[key]; len(places) > 0 {
			partner[i], bySpec[key] = places[0], places[1:]
		}
	}
	for _, places := range bySpec {
		for _, i := range places {
			byID[want[i].ID] = append(byID[want[i].ID], i)
		}
	}
	for _, places := range byID {
		slices.Sort(places) // map order
	}
	for i, h := range have {
		if places := byID[h.id()]; partner[i] < 0 && h.id() != "" && len(places) > 0 {
			partner[i], byID[h.id()] = places[0], places[1:]
		}
	}
	return partner
}
