package plan

import "net/netip"

// Given are lists as the user wrote them: in his order, nothing merged. Plans don't need that, but the dialects that
// reproduce other tools' listings do: those write a rule an item.
type Given struct {
	InboundPorts  []Range // -b
	InboundSkips  []Range // -d
	OutboundPorts []Range // -q
	OutboundSkips []Range // -o
	CIDRs         []netip.Prefix
	SkipCIDRs     []netip.Prefix
}

// note remembers the value of a flag that passed its own check.
func (g *Given) note(short, value string) {
	switch short {
	case "b":
		g.InboundPorts = givenRanges(value)
	case "d":
		g.InboundSkips = givenRanges(value)
	case "q":
		g.OutboundPorts = givenRanges(value)
	case "o":
		g.OutboundSkips = givenRanges(value)
	case "i":
		g.CIDRs = givenPrefixes(value)
	case "x":
		g.SkipCIDRs = givenPrefixes(value)
	}
}

func givenRanges(value string) []Range {
	return given(value, func(item string) (Range, error) { return parseRange(item, 1, 65535) })
}

func givenPrefixes(value string) []netip.Prefix { return given(value, parsePrefix) }

// given leaves out what isn't an item, such as '*'.
func given[T comparable](value string, parse func(string) (T, error)) []T {
	items, err := split(value)
	if err != nil {
		return nil
	}
	var list []T
	seen := map[T]bool{}
	for _, item := range items {
		if v, err := parse(item); err == nil && !seen[v] {
			list, seen[v] = append(list, v), true
		}
	}
	return list
}
