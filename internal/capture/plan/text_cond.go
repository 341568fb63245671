package plan

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// allBits is the mask under which the whole mark counts.
const allBits = 1<<32 - 1

// String is the condition in nftables' language.
func (c Cond) String() string {
	operator := " "
	if c.Not {
		operator = " != "
	}
	if c.Field == FieldMark && c.Mask != allBits {
		return fmt.Sprintf("meta mark & 0x%08x %s 0x%08x", c.Mask, map[bool]string{true: "!=", false: "=="}[c.Not], c.Number)
	}
	return c.left() + operator + c.right()
}

func (c Cond) left() string {
	family := "ip"
	if c.Prefix.Addr().Is6() || (c.Set != nil && (c.Set.Kind == KindIPv6 || c.Set.Kind == KindIPv6Port)) {
		family = "ip6"
	}
	switch c.Field {
	case FieldSrc:
		return family + " saddr"
	case FieldDst:
		return family + " daddr"
	case FieldDstAndTCPPort:
		return family + " daddr . tcp dport"
	}
	return map[Field]string{
		FieldFamily: "meta nfproto", FieldProto: "meta l4proto", FieldInIface: "iifname", FieldOutIface: "oifname",
		FieldTCPPort: "tcp dport", FieldUDPPort: "udp dport", FieldUDPSource: "udp sport", FieldPort: "th dport",
		FieldUID: "meta skuid", FieldGID: "meta skgid", FieldMark: "meta mark", FieldConnMark: "ct mark", FieldConnState: "ct state",
	}[c.Field]
}

func (c Cond) right() string {
	switch {
	case c.Set != nil:
		return "@" + c.Set.Name
	case c.Text != "":
		return strconv.Quote(c.Text)
	case c.Prefix.IsValid():
		return prefixText(c.Prefix)
	}
	switch c.Field {
	case FieldFamily:
		return map[uint32]string{NFProtoIPv4: "ipv4", NFProtoIPv6: "ipv6"}[c.Number]
	case FieldProto:
		return protoText(c.Number)
	case FieldMark, FieldConnMark:
		return fmt.Sprintf("0x%08x", c.Number)
	case FieldConnState:
		return statesText(c.Mask)
	}
	return strconv.FormatUint(uint64(c.Number), 10)
}

func statesText(mask uint32) string {
	var names []string
	for i, name := range []string{"invalid", "established", "related", "new"} {
		if mask&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
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
