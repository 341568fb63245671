package nft

import (
	"encoding/binary"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// portReg is the register for a port beside an address.
const portReg = 2

func (e *encoder) action(a plan.Action) {
	switch a.Kind {
	case plan.DoGoto:
		e.add(&expr.Verdict{Kind: expr.VerdictGoto, Chain: a.Chain})
		return
	case plan.DoRedirect:
		e.add(portIn(reg, a.Port), &expr.Redir{RegisterProtoMin: reg, Flags: unix.NF_NAT_RANGE_PROTO_SPECIFIED})
		return
	case plan.DoDNAT:
		e.dnat(a)
		return
	case plan.DoDrop:
		e.add(&expr.Verdict{Kind: expr.VerdictDrop})
		return
	case plan.DoTProxy:
		e.add(portIn(reg, a.Port), &expr.TProxy{RegPort: reg}, native32(a.Mark), setMark())
	case plan.DoZone:
		e.add(&expr.Immediate{Register: reg, Data: binaryutil.NativeEndian.PutUint16(a.Zone)},
			&expr.Ct{Key: expr.CtKeyZONE, Register: reg, SourceRegister: true})
	case plan.DoMark:
		e.add(native32(a.Mark), setMark())
	case plan.DoSaveMark:
		e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg}, &expr.Ct{Key: expr.CtKeyMARK, Register: reg, SourceRegister: true})
	case plan.DoRestoreMark:
		e.add(&expr.Ct{Key: expr.CtKeyMARK, Register: reg}, setMark())
	case plan.DoReturn:
	}
	e.add(&expr.Verdict{Kind: expr.VerdictReturn})
}

// dnat needs the address's family known before it.
func (e *encoder) dnat(a plan.Action) {
	e.add(&expr.Immediate{Register: reg, Data: a.Addr.AsSlice()}, portIn(portReg, a.Port),
		&expr.NAT{
			Type: expr.NATTypeDestNAT, Family: uint32(family(a.Addr.Is4())), RegAddrMin: reg, RegProtoMin: portReg,
		})
}

func portIn(register uint32, port uint16) expr.Any {
	return &expr.Immediate{Register: register, Data: binary.BigEndian.AppendUint16(nil, port)}
}

func native32(n uint32) expr.Any {
	return &expr.Immediate{Register: reg, Data: binaryutil.NativeEndian.PutUint32(n)}
}

func setMark() expr.Any {
	return &expr.Meta{Key: expr.MetaKeyMARK, Register: reg, SourceRegister: true}
}
