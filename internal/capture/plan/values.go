package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// maxList bounds every list of the command line.
const maxList = 4096

// maxID is the highest UID or GID: the next one means "none" to the kernel.
const maxID = 1<<32 - 2

// Range is an inclusive range of ports, UIDs or GIDs. Its text is "80" or "8000-8100".
type Range struct{ Lo, Hi uint32 }

// String is the form flags and nftables use.
func (r Range) String() string {
	if r.Lo == r.Hi {
		return strconv.FormatUint(uint64(r.Lo), 10)
	}
	return fmt.Sprintf("%d-%d", r.Lo, r.Hi)
}

// MarshalText makes a Range a string in JSON.
func (r Range) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads String's form.
func (r *Range) UnmarshalText(text []byte) error {
	parsed, err := parseRange(string(text), 0, maxID)
	if err == nil {
		*r = parsed
	}
	return err
}

// Ports are all ports or a list.
type Ports struct {
	All  bool    `json:"all,omitempty"`
	List []Range `json:"list,omitempty"`
}

// None says that no port is meant.
func (p Ports) None() bool { return !p.All && len(p.List) == 0 }

// String is the flag's form.
func (p Ports) String() string {
	if p.All {
		return "*"
	}
	return join(p.List)
}

// Prefixes are all addresses or a list.
type Prefixes struct {
	All  bool           `json:"all,omitempty"`
	List []netip.Prefix `json:"list,omitempty"`
}

// None says that no address is meant.
func (p Prefixes) None() bool { return !p.All && len(p.List) == 0 }

// String is the flag's form.
func (p Prefixes) String() string {
	if p.All {
		return "*"
	}
	return join(p.List)
}

func join[T fmt.Stringer](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = v.String()
	}
	return strings.Join(texts, ",")
}

// parseRange reads "N" or "LO-HI".
func parseRange(s string, low, high uint64) (Range, error) {
	first, last, ranged := strings.Cut(s, "-")
	if !ranged {
		last = first
	}
	lo, err := parseNumber(first, low, high)
	if err != nil {
		return Range{}, err
	}
	hi, err := parseNumber(last, low, high)
	if err != nil {
		return Range{}, err
	}
	if lo > hi {
		return Range{}, fmt.Errorf("%q runs backwards", s)
	}
	return Range{Lo: lo, Hi: hi}, nil
}

// parseNumber is stricter than strconv: no leading zeros, which some read as octal.
func parseNumber(s string, low, high uint64) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < low || n > high || (len(s) > 1 && s[0] == '0') {
		return 0, fmt.Errorf("%q is not a number from %d to %d", s, low, high)
	}
	return uint32(n), nil
}

// parseRanges reads a comma-separated list and returns it sorted, with what overlaps or touches merged.
func parseRanges(s string, low, high uint64) ([]Range, error) {
	items, err := split(s)
	if err != nil {
		return nil, err
	}
	var list []Range
	for _, item := range items {
		r, err := parseRange(item, low, high)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return mergeRanges(list), nil
}

func mergeRanges(list []Range) []Range {
	sort.Slice(list, func(i, j int) bool {
		return cmp.Or(cmp.Compare(list[i].Lo, list[j].Lo), cmp.Compare(list[i].Hi, list[j].Hi)) < 0
	})
	var merged []Range
	for _, r := range list {
		if n := len(merged); n > 0 && uint64(r.Lo) <= uint64(merged[n-1].Hi)+1 {
			merged[n-1].Hi = max(merged[n-1].Hi, r.Hi)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// split cuts a list at its commas. An empty list is no list; an empty item is a mistake.
func split(s string) ([]string, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	items := strings.Split(s, ",")
	if len(items) > maxList {
		return nil, fmt.Errorf("%d items are more than the %d allowed", len(items), maxList)
	}
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
		if items[i] == "" {
			return nil, fmt.Errorf("item %d is empty", i+1)
		}
	}
	return items, nil
}

// parsePrefixes reads CIDRs and bare addresses and returns them sorted, with what lies in another one dropped.
func parsePrefixes(s string) ([]netip.Prefix, error) {
	items, err := split(s)
	if err != nil {
		return nil, err
	}
	var list []netip.Prefix
	for _, item := range items {
		prefix, err := parsePrefix(item)
		if err != nil {
			return nil, err
		}
		list = append(list, prefix)
	}
	return mergePrefixes(list), nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	bad := fmt.Errorf("%q is not an IP address or CIDR", s)
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" || addr.Is4In6() {
			return netip.Prefix{}, bad
		}
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil || prefix.Addr().Is4In6() {
		return netip.Prefix{}, bad
	}
	return prefix.Masked(), nil // as iptables does: 10.1.2.3/8 means 10.0.0.0/8
}

func mergePrefixes(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var merged []netip.Prefix
	for _, p := range list {
		if n := len(merged); n > 0 && merged[n-1].Overlaps(p) {
			continue // sorted: the one before is the wider
		}
		merged = append(merged, p)
	}
	return merged
}

// ofFamily keeps the prefixes of one family.
func ofFamily(list []netip.Prefix, v4 bool) []netip.Prefix {
	var kept []netip.Prefix
	for _, p := range list {
		if p.Addr().Is4() == v4 {
			kept = append(kept, p)
		}
	}
	return kept
}

// parseInterfaces reads a list of interface names.
func parseInterfaces(s string) ([]string, error) {
	items, err := split(s)
	if err != nil {
		return nil, err
	}
	for _, name := range items {
		if !validInterface(name) {
			return nil, fmt.Errorf("%q is not an interface name", name)
		}
	}
	slices.Sort(items)
	return slices.Compact(items), nil
}

// validInterface holds the kernel's rules, and keeps out what nftables would read as a pattern or a quote.
func validInterface(name string) bool {
	if name == "." || name == ".." || len(name) > 15 || name == "" {
		return false
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`/:*"\,`, c) >= 0 {
			return false
		}
	}
	return true
}
