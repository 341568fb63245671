package plan

import (
	"fmt"
	"net/netip"
	"strings"
)

// TableName is the one nftables table that is ours, of family inet.
const TableName = "pillion"

// maxComment is what nft reads back of a comment.
const maxComment = 127

// Comment is what a rule carries in the kernel: its id and why it's there.
func (r Rule) Comment() string {
	text := r.ID + ": " + r.Reason
	return text[:min(len(text), maxComment)]
}

// Text is the ruleset as `nft -f` reads it. about goes into chain "about": which build wrote which plan.
func (r *Ruleset) Text(about string) string {
	if len(r.Chains) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", TableName)
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			fmt.Fprintf(&b, "\tcounter %s { }\n", rule.ID)
		}
	}
	for _, s := range r.Sets {
		b.WriteString(s.text())
	}
	fmt.Fprintf(&b, "\tchain about {\n\t\treturn comment %q\n\t}\n", about)
	for i := len(r.Chains) - 1; i >= 0; i-- { // from_proxy before the rules that go there
		b.WriteString(r.Chains[i].text())
	}
	b.WriteString("}\n")
	return b.String()
}

func (c Chain) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\tchain %s {\n", c.Name)
	if c.Base {
		fmt.Fprintf(&b, "\t\ttype %s hook %s priority %d; policy accept;\n", c.Type, c.Hook, c.Priority)
	}
	for _, rule := range c.Rules {
		fmt.Fprintf(&b, "\t\t%s\n", rule)
	}
	b.WriteString("\t}\n")
	return b.String()
}

// String is the rule in nftables' language.
func (r Rule) String() string {
	words := append([]string{r.Match(), fmt.Sprintf("counter name %q", r.ID), r.Do.String()}, fmt.Sprintf("comment %q", r.Comment()))
	return strings.TrimSpace(strings.Join(words, " "))
}

// Match is the left side of a rule in nftables' language.
func (r Rule) Match() string {
	words := make([]string, len(r.Conds))
	for i, c := range r.Conds {
		words[i] = c.String()
	}
	return strings.Join(words, " ")
}

// String is the action in nftables' language.
func (a Action) String() string {
	switch a.Kind {
	case DoGoto:
		return "goto " + a.Chain
	case DoRedirect:
		return fmt.Sprintf("redirect to :%d", a.Port)
	case DoDNAT:
		return fmt.Sprintf("dnat %s to %s", familyText(a.Addr), netip.AddrPortFrom(a.Addr, a.Port))
	case DoTProxy:
		return fmt.Sprintf("tproxy to :%d meta mark set 0x%08x return", a.Port, a.Mark)
	case DoDrop:
		return "drop"
	case DoZone:
		return fmt.Sprintf("ct zone set %d return", a.Zone)
	case DoMark:
		return fmt.Sprintf("meta mark set 0x%08x return", a.Mark)
	case DoSaveMark:
		return "ct mark set meta mark return"
	case DoRestoreMark:
		return "meta mark set ct mark return"
	default:
		return "return"
	}
}

func familyText(a netip.Addr) string {
	if a.Is4() {
		return "ip"
	}
	return "ip6"
}
