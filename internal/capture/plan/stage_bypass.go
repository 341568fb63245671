package plan

import (
	"net/netip"
	"slices"
)

func (b *builder) bypass() {
	for _, by := range b.of(StageBypass) {
		if by.Name != "" {
			b.written(by)
			continue
		}
		if len(by.Ports) > 0 {
			set := b.set(Set{Name: "in_skip", Kind: KindPort, Ranges: by.Ports})
			b.leave(StageBypass, "port", by.Reason, Cond{Field: FieldTCPPort, Set: set})
		}
		b.prefixes(StageBypass, "dst", "skip", by.Reason, FieldDst, by.To, Action{})
		b.prefixes(StageBypass, "src", "in_src", by.Reason, FieldSrc, by.From, Action{})
	}
}

// written is a rule the user wrote: one rule, or one a family if it speaks of addresses.
func (b *builder) written(by Bypass) {
	conds := append(b.interfaceConds(by), b.protoConds(by)...)
	conds = append(conds, b.ownerConds(by)...)
	if len(by.From)+len(by.To) == 0 {
		b.leave(StageBypass, by.Name, by.Reason, conds...)
		return
	}
	for _, f := range b.families() {
		from, okFrom := b.addressCond(by.Name+"_from"+f.suffix, FieldSrc, f, by.From)
		to, okTo := b.addressCond(by.Name+"_to"+f.suffix, FieldDst, f, by.To)
		if okFrom && okTo {
			b.leave(StageBypass, by.Name+"_"+f.suffix, by.Reason, append(append(slices.Clone(conds), from...), to...)...)
		}
	}
}

func (b *builder) interfaceConds(by Bypass) []Cond {
	if len(by.Interfaces) == 0 {
		return nil
	}
	field := FieldOutIface
	if b.hook == Prerouting {
		field = FieldInIface
	}
	return []Cond{{Field: field, Set: b.set(Set{Name: by.Name + "_ifaces", Kind: KindInterface, Names: by.Interfaces})}}
}

func (b *builder) protoConds(by Bypass) []Cond {
	var conds []Cond
	switch {
	case by.Proto != 0:
		conds = append(conds, Cond{Field: FieldProto, Number: uint32(by.Proto)})
	case len(by.Ports) > 0:
		conds = append(conds, b.tcpAndUDP())
	}
	if len(by.Ports) > 0 {
		conds = append(conds, Cond{Field: FieldPort, Set: b.set(Set{Name: by.Name + "_ports", Kind: KindPort, Ranges: by.Ports})})
	}
	return conds
}

// tcpAndUDP holds for the protocols that have ports.
func (b *builder) tcpAndUDP() Cond {
	set := b.set(Set{Name: "tcp_udp", Kind: KindProto, Ranges: []Range{{TCP, TCP}, {UDP, UDP}}})
	return Cond{Field: FieldProto, Set: set}
}

func (b *builder) ownerConds(by Bypass) []Cond {
	var conds []Cond
	if len(by.UIDs) > 0 {
		conds = append(conds, Cond{Field: FieldUID, Set: b.set(Set{Name: by.Name + "_uids", Kind: KindUID, Ranges: by.UIDs})})
	}
	if len(by.GIDs) > 0 {
		conds = append(conds, Cond{Field: FieldGID, Set: b.set(Set{Name: by.Name + "_gids", Kind: KindGID, Ranges: by.GIDs})})
	}
	return conds
}

// addressCond is the condition for a list of prefixes, none for an empty list. It fails if none is of the family.
func (b *builder) addressCond(name string, field Field, f family, list []netip.Prefix) ([]Cond, bool) {
	own := ofFamily(list, f.v4)
	if len(own) == 0 {
		return nil, len(list) == 0
	}
	return []Cond{{Field: field, Set: b.set(Set{Name: name, Kind: f.kind, Prefixes: own})}}, true
}
