package plan

import (
	"net/netip"
	"slices"
)

func (r Rule) matches(p Packet) bool {
	return !slices.ContainsFunc(r.Conds, func(c Cond) bool { return !c.holds(p) })
}

func (c Cond) holds(p Packet) bool {
	switch c.Field {
	case FieldFamily:
		return c.number(p.family())
	case FieldProto:
		return c.number(uint32(p.Proto))
	case FieldInIface:
		return c.text(p.In)
	case FieldOutIface:
		return c.text(p.Out)
	case FieldSrc:
		return c.address(p.Src.Addr())
	case FieldDst:
		return c.address(p.Dst.Addr())
	case FieldUID:
		return p.Owner != nil && c.number(p.Owner.UID)
	case FieldGID:
		return p.Owner != nil && c.number(p.Owner.GID)
	case FieldMark:
		return (p.Mark&c.Mask == c.Number) != c.Not
	case FieldConnMark:
		return (p.ConnMark == c.Number) != c.Not
	case FieldConnState:
		return (p.state()&c.Mask != 0) != c.Not
	default:
		return c.port(p)
	}
}

func (c Cond) port(p Packet) bool {
	switch c.Field {
	case FieldTCPPort:
		return p.Proto == TCP && c.number(uint32(p.Dst.Port()))
	case FieldUDPPort:
		return p.Proto == UDP && c.number(uint32(p.Dst.Port()))
	case FieldUDPSource:
		return p.Proto == UDP && c.number(uint32(p.Src.Port()))
	case FieldPort:
		return c.number(uint32(p.Dst.Port()))
	case FieldDstAndTCPPort:
		return p.Proto == TCP && slices.Contains(c.Set.First, Element{Addr: p.Dst.Addr(), Port: p.Dst.Port()})
	}
	return false
}

func (p Packet) family() uint32 {
	if p.Dst.Addr().Is4() {
		return NFProtoIPv4
	}
	return NFProtoIPv6
}

func (p Packet) state() uint32 {
	if p.State == 0 {
		return StateNew
	}
	return p.State
}

func (c Cond) number(n uint32) bool {
	is := n == c.Number
	if c.Set != nil {
		is = slices.ContainsFunc(c.Set.Ranges, func(r Range) bool { return r.Lo <= n && n <= r.Hi }) ||
			slices.ContainsFunc(c.Set.First, func(e Element) bool { return uint32(e.Proto) == n })
	}
	return is != c.Not
}

func (c Cond) text(s string) bool {
	is := s == c.Text
	if c.Set != nil {
		is = slices.Contains(c.Set.Names, s)
	}
	return is != c.Not
}

func (c Cond) address(a netip.Addr) bool {
	if c.Set != nil && c.Set.Live {
		return slices.Contains(c.Set.First, Element{Addr: a}) != c.Not
	}
	prefixes := []netip.Prefix{c.Prefix}
	if c.Set != nil {
		prefixes = c.Set.Prefixes
	}
	if len(prefixes) == 0 || prefixes[0].Addr().Is4() != a.Is4() {
		return false
	}
	is := slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	return is != c.Not
}
