package plan

import (
	"fmt"
	"strconv"
	"strings"
)

func (s *Set) text() string {
	flags := ""
	if s.Interval() {
		flags = "\t\tflags interval\n"
	}
	elements := ""
	if list := s.Elements(); len(list) > 0 {
		elements = fmt.Sprintf("\t\telements = { %s }\n", strings.Join(list, ", "))
	}
	return fmt.Sprintf("\tset %s {\n\t\ttype %s\n%s%s\t}\n", s.Name, s.Type(), flags, elements)
}

// Type is nftables' name of what the set holds.
func (s *Set) Type() string {
	return [...]string{"inet_service", "inet_proto", "uid", "gid", "ipv4_addr", "ipv6_addr", "ifname", "ipv4_addr . inet_service", "ipv6_addr . inet_service"}[s.Kind]
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
	for _, e := range s.First {
		if e.Port != 0 {
			texts = append(texts, fmt.Sprintf("%s . %d", e.Addr, e.Port))
			continue
		}
		texts = append(texts, e.String())
	}
	return texts
}
