package nft

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// reg is the one register our expressions use.
const reg = 1

// commentType is the tag of a rule's comment in its user data, as nft writes it.
const commentType = 0

// encoder turns conditions into expressions. nft wants to see the protocol before a protocol's field, once.
type encoder struct {
	exprs  []expr.Any
	family byte // the family asked for already, 0 = none
	tcp    bool // the protocol asked for already
}

// encode is a rule as the kernel takes it.
func encode(r plan.Rule) []expr.Any {
	e := &encoder{}
	for _, c := range r.Conds {
		e.cond(c)
	}
	e.add(&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: r.ID})
	e.action(r.Do)
	return e.exprs
}

func (e *encoder) add(exprs ...expr.Any) { e.exprs = append(e.exprs, exprs...) }

func (e *encoder) cond(c plan.Cond) {
	switch c.Field {
	case plan.FieldFamily:
		e.add(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg})
		e.compare(c, []byte{byte(c.Number)})
	case plan.FieldProto:
		e.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg})
		e.compare(c, []byte{byte(c.Number)})
	case plan.FieldInIface, plan.FieldOutIface:
		key := expr.MetaKeyIIFNAME
		if c.Field == plan.FieldOutIface {
			key = expr.MetaKeyOIFNAME
		}
		e.add(&expr.Meta{Key: key, Register: reg})
		e.compare(c, interfaceKey(c.Text))
	case plan.FieldSrc, plan.FieldDst:
		e.address(c)
	case plan.FieldTCPPort:
		e.dependTCP()
		e.port(c)
	case plan.FieldPort:
		e.port(c)
	case plan.FieldUID, plan.FieldGID:
		e.owner(c)
	}
}

func (e *encoder) port(c plan.Cond) {
	e.add(&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
	e.compare(c, binary.BigEndian.AppendUint16(nil, uint16(c.Number)))
}

// owner compares a number the kernel keeps in host order; ranges need it in network order.
func (e *encoder) owner(c plan.Cond) {
	key := expr.MetaKeySKUID
	if c.Field == plan.FieldGID {
		key = expr.MetaKeySKGID
	}
	e.add(&expr.Meta{Key: key, Register: reg})
	if c.Set != nil && c.Set.Interval() {
		e.add(&expr.Byteorder{SourceRegister: reg, DestRegister: reg, Op: expr.ByteorderHton, Len: 4, Size: 4})
	}
	e.compare(c, binaryutil.NativeEndian.PutUint32(c.Number))
}

// address loads source or destination out of the header of the operand's family.
func (e *encoder) address(c plan.Cond) {
	v4 := c.Prefix.Addr().Is4()
	if c.Set != nil {
		v4 = c.Set.Kind == plan.KindIPv4
	}
	family, offset, length := byte(unix.NFPROTO_IPV6), uint32(8), uint32(16)
	if v4 {
		family, offset, length = unix.NFPROTO_IPV4, 12, 4
	}
	if c.Field == plan.FieldDst {
		offset += length
	}
	e.dependFamily(family)
	e.add(&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length})
	if c.Set == nil && !c.Prefix.IsSingleIP() {
		e.add(&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: length, Mask: mask(c.Prefix), Xor: make([]byte, length)})
	}
	e.compare(c, c.Prefix.Addr().AsSlice())
}

func mask(p netip.Prefix) []byte {
	bytes := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	return bytes
}

func (e *encoder) dependFamily(family byte) {
	if e.family != family {
		e.family = family
		e.add(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg}, equal([]byte{family}))
	}
}

func (e *encoder) dependTCP() {
	if !e.tcp {
		e.tcp = true
		e.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg}, equal([]byte{unix.IPPROTO_TCP}))
	}
}

func equal(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data} }

// compare holds the register against the condition's set, or against one value.
func (e *encoder) compare(c plan.Cond, value []byte) {
	if c.Set != nil {
		e.add(&expr.Lookup{SourceRegister: reg, SetName: c.Set.Name, Invert: c.Not})
		return
	}
	op := expr.CmpOpEq
	if c.Not {
		op = expr.CmpOpNeq
	}
	e.add(&expr.Cmp{Op: op, Register: reg, Data: value})
}

func (e *encoder) action(a plan.Action) {
	switch a.Kind {
	case plan.DoGoto:
		e.add(&expr.Verdict{Kind: expr.VerdictGoto, Chain: a.Chain})
	case plan.DoRedirect:
		e.add(&expr.Immediate{Register: reg, Data: binary.BigEndian.AppendUint16(nil, a.Port)},
			&expr.Redir{RegisterProtoMin: reg, Flags: unix.NF_NAT_RANGE_PROTO_SPECIFIED})
	case plan.DoReturn:
		e.add(&expr.Verdict{Kind: expr.VerdictReturn})
	}
}

// comment is the user data that carries a rule's comment.
func comment(text string) []byte {
	data := append([]byte(text), 0)
	return append([]byte{commentType, byte(len(data))}, data...)
}

// commentOf reads it back; user data may be anybody's.
func commentOf(data []byte) string {
	for len(data) >= 2 {
		kind, length := data[0], int(data[1])
		if len(data) < 2+length {
			return ""
		}
		if kind == commentType && length > 0 {
			return string(data[2 : 1+length])
		}
		data = data[2+length:]
	}
	return ""
}

func interfaceKey(name string) []byte {
	key := make([]byte, unix.IFNAMSIZ)
	copy(key, name)
	return key
}

// set is the kernel's declaration of a list. The id ties the elements of the same transaction to it.
func set(table *nftables.Table, s *plan.Set, id int) *nftables.Set {
	types := [...]nftables.SetDatatype{nftables.TypeInetService, nftables.TypeInetProto, nftables.TypeUID, nftables.TypeGID, nftables.TypeIPAddr, nftables.TypeIP6Addr, nftables.TypeIFName}
	order := binaryutil.BigEndian
	if (s.Kind == plan.KindUID || s.Kind == plan.KindGID || s.Kind == plan.KindInterface) && !s.Interval() {
		order = binaryutil.NativeEndian
	}
	return &nftables.Set{Table: table, ID: uint32(id), Name: s.Name, KeyType: types[s.Kind], Interval: s.Interval(), KeyByteOrder: order}
}
