package ipt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// restore is what makes the tables hold what want says; "" if there is nothing to write. Declaring a chain empties it
// within the commit, so no packet meets it empty. Others' rules aren't mentioned.
func (s *state) restore(want text.File) string {
	var b strings.Builder
	for _, name := range text.Tables() {
		i := slices.IndexFunc(want.Tables, func(t text.Table) bool { return t.Name == name })
		wanted := text.Table{Name: name}
		if i >= 0 {
			wanted = want.Tables[i]
		}
		if lines := s.table(wanted); len(lines) > 0 {
			fmt.Fprintf(&b, "*%s\n%s\nCOMMIT\n", name, strings.Join(lines, "\n"))
		}
	}
	return b.String()
}

func (s *state) table(want text.Table) (lines []string) {
	stale := s.stale(want)
	for _, c := range want.Chains {
		if text.Ours(c.Name) {
			lines = append(lines, ":"+c.Name+" - [0:0]")
		}
	}
	for _, name := range stale {
		lines = append(lines, ":"+name+" - [0:0]")
	}
	for _, name := range text.BuiltIn(want.Name) {
		lines = append(lines, s.jumps(want, name)...)
	}
	for _, c := range want.Chains {
		if text.Ours(c.Name) {
			lines = append(lines, s.rules(want.Name, c)...)
		}
	}
	for _, name := range stale {
		lines = append(lines, "-X "+name)
	}
	return lines
}

// stale are our chains that aren't wanted any more.
func (s *state) stale(want text.Table) []string {
	var list []string
	for _, t := range s.tables {
		for _, c := range t.chains {
			unwanted := !slices.ContainsFunc(want.Chains, func(w text.Chain) bool { return w.Name == c.name })
			if t.name == want.Name && text.Ours(c.name) && unwanted {
				list = append(list, c.name)
			}
		}
	}
	return list
}

// jumps makes a built-in chain lead to ours as wanted. If anything differs all of ours go and come anew, at the end:
// that is how they keep their order.
func (s *state) jumps(want text.Table, builtIn string) (lines []string) {
	var have []rule
	if c := s.find(want.Name, builtIn); c != nil {
		have = c.rules
	}
	wanted := want.Find(builtIn)
	if slices.EqualFunc(have, wanted, func(h rule, w text.Rule) bool { return h.same(w.Spec) }) {
		return nil
	}
	for _, h := range have {
		lines = append(lines, "-D "+builtIn+" "+h.spec)
	}
	return append(lines, s.rules(want.Name, text.Chain{Name: builtIn, Rules: wanted})...)
}

// rules are the lines of a chain, with what was counted before.
func (s *state) rules(table string, want text.Chain) []string {
	var have []rule
	if c := s.find(table, want.Name); c != nil {
		have = c.rules
	}
	counters := map[int]nft.Counter{}
	for i, place := range pair(want.Rules, have) {
		counters[place] = have[i].counter
	}
	lines := make([]string, len(want.Rules))
	for i, r := range want.Rules {
		lines[i] = fmt.Sprintf("[%d:%d] -A %s %s", counters[i].Packets, counters[i].Bytes, want.Name, r.Spec)
	}
	return lines
}
