package nft

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// reg is the one register our expressions use.
const reg = 1

// encoder turns conditions into expressions. nft wants to see the protocol before a protocol's field, once.
type encoder struct {
	exprs  []expr.Any
	family byte // the family asked for already, 0 = none
	proto  byte // the protocol asked for already, 0 = none
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
	case plan.FieldUID, plan.FieldGID:
		e.owner(c)
	case plan.FieldMark, plan.FieldConnMark, plan.FieldConnState:
		e.bits(c)
	case plan.FieldDstAndTCPPort:
		e.addressAndPort(c)
	default:
		e.port(c)
	}
}

func (e *encoder) port(c plan.Cond) {
	offset := uint32(destinationPort)
	switch c.Field {
	case plan.FieldTCPPort:
		e.dependProto(unix.IPPROTO_TCP)
	case plan.FieldUDPPort:
		e.dependProto(unix.IPPROTO_UDP)
	case plan.FieldUDPSource:
		e.dependProto(unix.IPPROTO_UDP)
		offset = 0
	}
	e.add(portAt(offset, reg))
	e.compare(c, binary.BigEndian.AppendUint16(nil, uint16(c.Number)))
}

// destinationPort is its offset in TCP's and UDP's header.
const destinationPort = 2

func portAt(offset, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}
}

// bits compares marks and states, of which only some bits may count.
func (e *encoder) bits(c plan.Cond) {
	value, mask := binaryutil.NativeEndian.PutUint32(c.Number), binaryutil.NativeEndian.PutUint32(c.Mask)
	switch c.Field {
	case plan.FieldMark:
		e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg})
	case plan.FieldConnMark:
		e.add(&expr.Ct{Key: expr.CtKeyMARK, Register: reg})
		mask = wholeMark()
	default:
		e.add(&expr.Ct{Key: expr.CtKeySTATE, Register: reg})
		c.Not, value = !c.Not, make([]byte, 4) // any bit: what the mask leaves isn't zero
	}
	if !bytes.Equal(mask, wholeMark()) {
		e.add(&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: mask, Xor: make([]byte, 4)})
	}
	e.compare(c, value)
}

func wholeMark() []byte { return []byte{0xff, 0xff, 0xff, 0xff} }

// addressAndPort looks both up together. The kernel wants them side by side: registers of 4 bytes start at 8, where
// register 1 begins too; the fifth of them is register 2.
func (e *encoder) addressAndPort(c plan.Cond) {
	v4 := c.Set.Kind == plan.KindIPv4Port
	e.dependFamily(family(v4))
	e.dependProto(unix.IPPROTO_TCP)
	offset, length := addressOf(v4, true)
	next := uint32(portReg)
	if v4 {
		next = unix.NFT_REG32_00 + 1
	}
	e.add(&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		portAt(destinationPort, next))
	e.compare(c, nil)
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
	offset, length := addressOf(v4, c.Field == plan.FieldDst)
	e.dependFamily(family(v4))
	e.add(&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length})
	if c.Set == nil && !c.Prefix.IsSingleIP() {
		e.add(&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: length, Mask: mask(c.Prefix), Xor: make([]byte, length)})
	}
	e.compare(c, c.Prefix.Addr().AsSlice())
}

func family(v4 bool) byte {
	if v4 {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}

// addressOf says where in the network header an address is.
func addressOf(v4, destination bool) (offset, length uint32) {
	offset, length = 8, 16
	if v4 {
		offset, length = 12, 4
	}
	if destination {
		offset += length
	}
	return offset, length
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

func (e *encoder) dependProto(proto byte) {
	if e.proto != proto {
		e.proto = proto
		e.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg}, equal([]byte{proto}))
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
