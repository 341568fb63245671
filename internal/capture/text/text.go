// Package text says a plan in iptables' language: a *plan.Plan and a dialect come in, the rules of each family and table
// come out, spelled as `iptables -S` spells them. It is pure. Read text.go for the model, translate.go and match.go for
// our own dialect, istio.go and tsf.go for the listings of others that are reproduced exactly.
package text

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Dialect is a way to lay out the rules.
type Dialect string

// Pillion has the stages of the plan. The others are byte-exact, and keep the originals' faults.
const (
	Pillion Dialect = "pillion"
	Istio   Dialect = "istio"
	Istio18 Dialect = "istio-1.8"
	TSF     Dialect = "tsf"
)

// Dialects are all of them, the default first.
func Dialects() []Dialect { return []Dialect{Pillion, Istio, Istio18, TSF} }

// File is what is ours in the tables of one family.
type File struct {
	V6     bool
	Tables []Table
}

// Table is what is ours in one table.
type Table struct {
	Name   string // nat, mangle, raw
	Chains []Chain
}

// Chain is a chain of ours, or what is ours in a built-in one: the jumps to ours.
type Chain struct {
	Name  string
	Rules []Rule
}

// Rule is one rule. Spec is what follows "-A CHAIN ".
type Rule struct{ ID, Spec string }

// Chains with these names are ours, whoever made them: every dialect uses Istio's names, so that its tools clean up
// after us and we after them.
const (
	chainPrefix = "ISTIO_"
	chainDNS    = "DNS_OUTPUT"
)

// Marks are the comments by which rules of the Pillion dialect are known for ours: those of the jumps, or what is there
// while nothing is armed.
func Marks() []string {
	return []string{string(plan.Prerouting) + jumpID, string(plan.Output) + jumpID, LiveMark + plan.SetArmed}
}

const jumpID = ".jump"

// Ours tells whether a chain is one of capture's.
func Ours(chain string) bool { return strings.HasPrefix(chain, chainPrefix) || chain == chainDNS }

// Tables are those of iptables that capture may have rules in.
func Tables() []string { return []string{"raw", "mangle", "nat"} }

// BuiltIn are a table's own chains, in the order iptables lists them.
func BuiltIn(table string) []string {
	switch table {
	case "raw":
		return []string{"PREROUTING", "OUTPUT"}
	case "mangle":
		return []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
	default:
		return []string{"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}
	}
}

// Files are the plan's rules as they're written, one file a family. An empty plan has none.
func Files(p *plan.Plan, d Dialect) ([]File, error) {
	if p == nil || p.Empty() {
		return nil, nil
	}
	if what := unowned(p, d); len(what) > 0 {
		return nil, fmt.Errorf("--dialect %s can't write %s: those rules couldn't be told from another program's when they're to be compared or removed; explain --as %s shows them, --dialect %s writes its own", d, strings.Join(what, ", "), d, Pillion)
	}
	return Shown(p, d)
}

// Shown are the plan's rules as they're shown: also those that aren't written, for they couldn't be told for ours later.
func Shown(p *plan.Plan, d Dialect) ([]File, error) {
	if p == nil || p.Empty() {
		return nil, nil
	}
	if what := unsaid(p, d); len(what) > 0 {
		return nil, fmt.Errorf("--dialect %s can't say %s; want --dialect %s", d, strings.Join(what, ", "), Pillion)
	}
	var files []File
	for _, v6 := range families(p.Families) {
		w := &writer{plan: p, v6: v6}
		err := w.write(d)
		if err != nil {
			return nil, err
		}
		files = append(files, File{V6: v6, Tables: w.tables})
	}
	return files, nil
}

func families(f plan.Families) []bool {
	var list []bool
	if f.V4 {
		list = append(list, false)
	}
	if f.V6 {
		list = append(list, true)
	}
	return list
}

func (w *writer) write(d Dialect) error {
	switch d {
	case Pillion:
		return w.pillion()
	case Istio, Istio18:
		w.istio(d == Istio18)
	case TSF:
		w.tsf()
	default:
		return fmt.Errorf("--dialect %q: want one of %v", d, Dialects())
	}
	w.number()
	return nil
}

// writer collects tables.
type writer struct {
	plan   *plan.Plan
	v6     bool
	tables []Table
}

// chain makes a chain, or finds it.
func (w *writer) chain(table, name string) *Chain {
	t := slices.IndexFunc(w.tables, func(t Table) bool { return t.Name == table })
	if t < 0 {
		t, w.tables = len(w.tables), append(w.tables, Table{Name: table})
	}
	chains := &w.tables[t].Chains
	c := slices.IndexFunc(*chains, func(c Chain) bool { return c.Name == name })
	if c < 0 {
		c, *chains = len(*chains), append(*chains, Chain{Name: name})
	}
	return &(*chains)[c]
}

// add appends a rule; words that are empty are left out.
func (w *writer) add(table, chain, id string, words ...string) {
	c := w.chain(table, chain)
	words = slices.DeleteFunc(words, func(s string) bool { return s == "" })
	c.Rules = append(c.Rules, Rule{ID: id, Spec: strings.Join(words, " ")})
}

// number names rules that have no id by their place.
func (w *writer) number() {
	for _, t := range w.tables {
		for _, c := range t.Chains {
			for i := range c.Rules {
				if c.Rules[i].ID == "" {
					c.Rules[i].ID = fmt.Sprintf("%s %d", c.Name, i+1)
				}
			}
		}
	}
}
