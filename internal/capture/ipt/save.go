package ipt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// state is what a family's tables hold of ours, and what redirects besides.
type state struct {
	program string
	tables  []table
}

type table struct {
	name   string
	chains []chain
	others []string // chains that aren't ours and redirect
}

// chain is one of ours, or the jumps to ours in a built-in one.
type chain struct {
	name  string
	rules []rule
}

type rule struct {
	spec    string   // as iptables-save prints it
	words   []string // spec, quotes resolved
	counter nft.Counter
}

// parse reads what iptables-save prints, with or without counters.
func parse(out string) *state {
	s := &state{}
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			s.tables = append(s.tables, table{name: line[1:]})
		case len(s.tables) == 0 || line == "" || line[0] == '#':
		case line[0] == ':':
			s.tables[len(s.tables)-1].declare(line[1:])
		default:
			s.tables[len(s.tables)-1].append(line)
		}
	}
	return s
}

func (t *table) declare(line string) {
	name, _, _ := strings.Cut(line, " ")
	if text.Ours(name) || slices.Contains(text.BuiltIn(t.name), name) {
		t.chains = append(t.chains, chain{name: name})
	}
}

// append takes a rule "[packets:bytes] -A CHAIN spec" if it is in a chain of ours or leads there from a built-in one.
func (t *table) append(line string) {
	var r rule
	if strings.HasPrefix(line, "[") {
		numbers, rest, _ := strings.Cut(line, "] ")
		_, _ = fmt.Sscanf(numbers, "[%d:%d", &r.counter.Packets, &r.counter.Bytes)
		line = rest
	}
	line, isRule := strings.CutPrefix(line, "-A ")
	if !isRule {
		return
	}
	name, spec, _ := strings.Cut(line, " ")
	r.spec, r.words = spec, words(spec)
	i := slices.IndexFunc(t.chains, func(c chain) bool { return c.name == name })
	switch {
	case text.Ours(name) && i >= 0, i >= 0 && text.Ours(r.target()):
		t.chains[i].rules = append(t.chains[i].rules, r)
	case redirects(r.target()) && !slices.Contains(t.others, name):
		t.others = append(t.others, name)
	}
}

func redirects(target string) bool {
	return target == "REDIRECT" || target == "DNAT" || target == "TPROXY"
}

// target is where a rule goes: a chain or an extension.
func (r rule) target() string { return r.after("-j", "-g") }

// id is the comment of a rule of the pillion dialect.
func (r rule) id() string { return r.after("--comment") }

// after is the word after the first of these options.
func (r rule) after(options ...string) string {
	for i, w := range r.words[:max(len(r.words)-1, 0)] {
		if slices.Contains(options, w) {
			return r.words[i+1]
		}
	}
	return ""
}

func (r rule) same(spec string) bool { return slices.Equal(r.words, words(spec)) }

// words splits a rule as iptables-restore does: at blanks, but not between double quotes, where a backslash takes the
// next character as it is. Versions differ in what they quote.
func words(spec string) []string {
	var list []string
	var word strings.Builder
	quoted, started := false, false
	for i := 0; i < len(spec); i++ {
		switch c := spec[i]; {
		case c == '"':
			quoted, started = !quoted, true
		case c == '\\' && quoted && i+1 < len(spec):
			i++
			word.WriteByte(spec[i])
		case c == ' ' && !quoted:
			if started {
				list = append(list, word.String())
				word.Reset()
			}
			started = false
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if started {
		list = append(list, word.String())
	}
	return list
}

// find is a chain of a table; nil if it isn't there.
func (s *state) find(tableName, chainName string) *chain {
	for _, t := range s.tables {
		for i, c := range t.chains {
			if t.name == tableName && c.name == chainName {
				return &t.chains[i]
			}
		}
	}
	return nil
}

// foreign names the chains of others that redirect too.
func (s *state) foreign() []string {
	var list []string
	for _, t := range s.tables {
		for _, name := range t.others {
			list = append(list, s.program+" "+t.name+" "+name)
		}
	}
	return list
}
