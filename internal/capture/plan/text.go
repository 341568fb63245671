package plan

import (
	"fmt"
	"net/netip"
	"strconv"
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
		fmt.Fprintf(&b, "\t\ttype nat hook %s priority %d; policy accept;\n", c.Hook, c.Priority)
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
	default:
		return "return"
	}
}

// String is the condition in nftables' language.
func (c Cond) String() string {
	operator := " "
	if c.Not {
		operator = " != "
	}
	return c.left() + operator + c.right()
}

func (c Cond) left() string {
	family := "ip"
	if c.Prefix.Addr().Is6() || (c.Set != nil && c.Set.Kind == KindIPv6) {
		family = "ip6"
	}
	switch c.Field {
	case FieldFamily:
		return "meta nfproto"
	case FieldProto:
		return "meta l4proto"
	case FieldInIface:
		return "iifname"
	case FieldOutIface:
		return "oifname"
	case FieldSrc:
		return family + " saddr"
	case FieldDst:
		return family + " daddr"
	case FieldTCPPort:
		return "tcp dport"
	case FieldPort:
		return "th dport"
	case FieldUID:
		return "meta skuid"
	default:
		return "meta skgid"
	}
}

func (c Cond) right() string {
	switch {
	case c.Set != nil:
		return "@" + c.Set.Name
	case c.Text != "":
		return strconv.Quote(c.Text)
	case c.Prefix.IsValid():
		return prefixText(c.Prefix)
	case c.Field == FieldFamily:
		return map[uint32]string{NFProtoIPv4: "ipv4", NFProtoIPv6: "ipv6"}[c.Number]
	case c.Field == FieldProto:
		return protoText(c.Number)
	default:
		return strconv.FormatUint(uint64(c.Number), 10)
	}
}

func protoText(number uint32) string {
	return map[uint32]string{TCP: "tcp", UDP: "udp"}[number]
}

// prefixText leaves out the length of a single address, as nft does.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func (s *Set) text() string {
	flags := ""
	if s.Interval() {
		flags = "\t\tflags interval\n"
	}
	return fmt.Sprintf("\tset %s {\n\t\ttype %s\n%s\t\telements = { %s }\n\t}\n", s.Name, s.Type(), flags, strings.Join(s.Elements(), ", "))
}

// Type is nftables' name of what the set holds.
func (s *Set) Type() string {
	return [...]string{"inet_service", "inet_proto", "uid", "gid", "ipv4_addr", "ipv6_addr", "ifname"}[s.Kind]
}

// Interval says whether the set needs ranges.
func (s *Set) Interval() bool {
	if len(s.Prefixes) > 0 {
		return true
	}
	for _, r := range s.Ranges {
		if r.Lo != r.Hi {
			return true
		}
	}
	return false
}

// Elements are the set's contents in nftables' language, in order.
func (s *Set) Elements() []string {
	var texts []string
	for _, r := range s.Ranges {
		if s.Kind == KindProto {
			texts = append(texts, protoText(r.Lo))
			continue
		}
		texts = append(texts, r.String())
	}
	for _, p := range s.Prefixes {
		texts = append(texts, prefixText(p))
	}
	for _, name := range s.Names {
		texts = append(texts, strconv.Quote(name))
	}
	return texts
}
