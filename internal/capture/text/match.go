package text

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// match is the left side of one iptables rule. Its parts stand in the order in which iptables lists them.
type match struct {
	src, dst, in, out string // whole options, such as "! -d 127.0.0.1/32"
	proto             string
	ports             []portMatch
	more              []string // further matches: owner, mark
}

// portMatch is a list of ports; of which protocol, its rule says.
type portMatch struct {
	ranges []plan.Range
	source bool
	not    bool
}

// portsPerRule is what multiport can hold; a range takes two places.
const portsPerRule = 15

// errTwice is what iptables can't do: two conditions on one part of the packet.
var errTwice = errors.New("two conditions on one part of the packet")

// join is both matches at once; never says that no packet meets them.
func (m match) join(o match) (joined match, never bool, err error) {
	for _, part := range []struct{ mine, other *string }{
		{&m.src, &o.src}, {&m.dst, &o.dst}, {&m.in, &o.in}, {&m.out, &o.out},
	} {
		switch {
		case *part.mine == "":
			*part.mine = *part.other
		case *part.other != "" && *part.other != *part.mine:
			return m, false, fmt.Errorf("%w: %s and %s", errTwice, *part.mine, *part.other)
		}
	}
	switch {
	case m.proto == "":
		m.proto = o.proto
	case o.proto != "" && o.proto != m.proto:
		return m, true, nil
	}
	m.ports = append(slices.Clone(m.ports), o.ports...)
	m.more = append(slices.Clone(m.more), o.more...)
	return m, false, nil
}

// words are the options, in iptables' order.
func (m match) words() ([]string, error) {
	words := []string{m.src, m.dst, m.in, m.out}
	if m.proto != "" {
		words = append(words, "-p "+m.proto)
	}
	for _, p := range m.ports {
		if m.proto == "" {
			return nil, errors.New("ports without a protocol")
		}
		words = append(words, p.String(m.proto))
	}
	return append(words, m.more...), nil
}

// String is the option. One range needs no multiport.
func (p portMatch) String(proto string) string {
	not, name := "", "dport"
	if p.not {
		not = "! "
	}
	if p.source {
		name = "sport"
	}
	if len(p.ranges) == 1 {
		return fmt.Sprintf("-m %s %s--%s %s", proto, not, name, colon(p.ranges[0]))
	}
	texts := make([]string, len(p.ranges))
	for i, r := range p.ranges {
		texts[i] = colon(r)
	}
	return fmt.Sprintf("-m multiport %s--%ss %s", not, name, strings.Join(texts, ","))
}

// colon is iptables' form of a range of ports.
func colon(r plan.Range) string { return strings.Replace(r.String(), "-", ":", 1) }

// portLists cuts a list into what one rule can hold.
func portLists(ranges []plan.Range) [][]plan.Range {
	var lists [][]plan.Range
	room := 0
	for _, r := range ranges {
		places := 1
		if r.Lo != r.Hi {
			places = 2
		}
		if room < places {
			lists, room = append(lists, nil), portsPerRule
		}
		lists[len(lists)-1] = append(lists[len(lists)-1], r)
		room -= places
	}
	return lists
}

// address is "-s" or "-d" with its prefix; "" if it says nothing.
func address(option string, not bool, p netip.Prefix) string {
	if p.Bits() == 0 && !not {
		return ""
	}
	return negated(not) + option + " " + p.String()
}

func negated(not bool) string {
	if not {
		return "! "
	}
	return ""
}

func owner(option string, not bool, r plan.Range) string {
	return "-m owner " + negated(not) + option + " " + r.String()
}
