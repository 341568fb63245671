package text

import (
	"fmt"
	"slices"
	"strings"
)

// List is the table as `iptables -t TABLE -S` shows it where nothing else is.
func (t Table) List() string {
	var b strings.Builder
	builtIn := BuiltIn(t.Name)
	for _, name := range builtIn {
		fmt.Fprintf(&b, "-P %s ACCEPT\n", name)
	}
	for _, name := range t.own() {
		fmt.Fprintf(&b, "-N %s\n", name)
	}
	t.rules(&b)
	return b.String()
}

// Restore is the table as iptables-restore reads it into a namespace that has none of our rules.
func (t Table) Restore() string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n", t.Name)
	for _, name := range t.own() {
		fmt.Fprintf(&b, ":%s - [0:0]\n", name)
	}
	t.rules(&b)
	b.WriteString("COMMIT\n")
	return b.String()
}

func (t Table) rules(b *strings.Builder) {
	for _, name := range append(BuiltIn(t.Name), t.own()...) {
		for _, r := range t.Find(name) {
			fmt.Fprintf(b, "-A %s %s\n", name, r.Spec)
		}
	}
}

// own are the names of the chains that aren't built in, sorted.
func (t Table) own() []string {
	var names []string
	for _, c := range t.Chains {
		if !slices.Contains(BuiltIn(t.Name), c.Name) {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Find are the rules of a chain.
func (t Table) Find(chain string) []Rule {
	for _, c := range t.Chains {
		if c.Name == chain {
			return c.Rules
		}
	}
	return nil
}

// command is the program that handles the family.
func (f File) command() string {
	if f.V6 {
		return "ip6tables"
	}
	return "iptables"
}

// Listing is all files as `iptables -S` shows them. Where there is more than one list each has a heading.
func Listing(files []File) string {
	var parts, headings []string
	for _, f := range files {
		for _, t := range f.Tables {
			parts = append(parts, t.List())
			headings = append(headings, fmt.Sprintf("# %s -t %s -S\n", f.command(), t.Name))
		}
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return interleave(headings, parts)
}

// RestoreText is all files as iptables-restore reads them, each family under the name of its program.
func RestoreText(files []File) string {
	var parts, headings []string
	for _, f := range files {
		headings = append(headings, fmt.Sprintf("# %s-restore --noflush\n", f.command()))
		var tables strings.Builder
		for _, t := range f.Tables {
			tables.WriteString(t.Restore())
		}
		parts = append(parts, tables.String())
	}
	return interleave(headings, parts)
}

func interleave(headings, parts []string) string {
	var b strings.Builder
	for i := range parts {
		b.WriteString(headings[i] + parts[i])
	}
	return b.String()
}
