package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// headerLength is that of struct nfgenmsg, which every message of netfilter starts with.
const headerLength = 4

// rule is a rule as the kernel lists it. Expressions stay encoded: the library drops those it doesn't know, and a rule
// with one more must not pass for ours.
type rule struct {
	chain   string
	handle  uint64
	comment string
	exprs   []attribute
}

// attribute is one netlink attribute.
type attribute struct {
	kind   uint16
	nested bool
	data   []byte
}

// readRules lists all rules of our table in one dump, in order within each chain.
func (b *Backend) readRules() (map[string][]rule, error) {
	table, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_RULE_TABLE, Data: []byte(plan.TableName + "\x00")}})
	if err != nil {
		return nil, err
	}
	header := []byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}
	messages, err := b.sock.Conn().Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE, Flags: netlink.Request | netlink.Dump},
		Data:   append(header, table...),
	})
	if err != nil {
		return nil, fmt.Errorf("listing rules: %w", err)
	}
	rules := map[string][]rule{}
	for _, m := range messages {
		r, err := decodeRule(m.Data)
		if err != nil {
			return nil, fmt.Errorf("decoding a rule: %w", err)
		}
		rules[r.chain] = append(rules[r.chain], r)
	}
	return rules, nil
}

func decodeRule(data []byte) (r rule, err error) {
	if len(data) < headerLength {
		return r, fmt.Errorf("%d bytes are too short", len(data))
	}
	attributes, err := decode(data[headerLength:])
	for _, a := range attributes {
		switch a.kind {
		case unix.NFTA_RULE_CHAIN:
			r.chain = string(bytes.TrimRight(a.data, "\x00"))
		case unix.NFTA_RULE_HANDLE:
			r.handle = bigEndian(a.data)
		case unix.NFTA_RULE_USERDATA:
			r.comment = commentOf(a.data)
		case unix.NFTA_RULE_EXPRESSIONS:
			if r.exprs, err = decode(a.data); err != nil {
				return r, err
			}
		}
	}
	return r, err
}

func bigEndian(data []byte) uint64 {
	if len(data) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(data)
}

// attributeHeader is the length of struct nlattr: length and kind, two bytes each.
const attributeHeader = 4

// decode splits a list of attributes. A rule has some thirty of them, and every comparison looks at all.
func decode(data []byte) ([]attribute, error) {
	var list []attribute
	for len(data) > 0 {
		if len(data) < attributeHeader {
			return nil, fmt.Errorf("%d bytes are no attribute", len(data))
		}
		length, kind := int(binary.NativeEndian.Uint16(data)), binary.NativeEndian.Uint16(data[2:])
		if length < attributeHeader || length > len(data) {
			return nil, fmt.Errorf("an attribute of %d bytes among %d", length, len(data))
		}
		list = append(list, attribute{
			kind: kind &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER), nested: kind&unix.NLA_F_NESTED != 0, data: data[attributeHeader:length],
		})
		data = data[min(aligned(length), len(data)):]
	}
	return list, nil
}

// aligned is where the next attribute starts: the last one needn't be filled up.
func aligned(length int) int { return (length + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1) }

// sameExprs compares the kernel's expressions with ours, one by one.
func sameExprs(have []attribute, want []expr.Any) bool {
	if len(have) != len(want) {
		return false
	}
	for i, w := range want {
		encoded, err := expr.Marshal(byte(nftables.TableFamilyINet), w)
		if err != nil || !sameAttributes(have[i].data, encoded, derived(w)) {
			return false
		}
	}
	return true
}

// derived are the attributes the kernel adds by itself: a single port or address comes back as a range.
func derived(e expr.Any) []uint16 {
	switch e.(type) {
	case *expr.Redir:
		return []uint16{unix.NFTA_REDIR_REG_PROTO_MAX}
	case *expr.NAT:
		return []uint16{unix.NFTA_NAT_REG_ADDR_MAX, unix.NFTA_NAT_REG_PROTO_MAX, unix.NFTA_NAT_FLAGS}
	}
	return nil
}

// sameAttributes compares encoded attributes. What one side has and the other doesn't must be zero, which is what the
// kernel takes for something left out. It lists nested attributes without the flag that says so: ours tell.
func sameAttributes(have, want []byte, derived []uint16) bool {
	if bytes.Equal(have, want) {
		return true
	}
	h, errH := decode(have)
	w, errW := decode(want)
	if errH != nil || errW != nil {
		return false
	}
	for _, a := range w {
		other := find(h, a.kind)
		if a.nested && !sameAttributes(other, a.data, derived) || !a.nested && !sameData(other, a.data) {
			return false
		}
	}
	for _, a := range h {
		if find(w, a.kind) == nil && !slices.Contains(derived, a.kind) && !zero(a.data) {
			return false
		}
	}
	return true
}

func find(list []attribute, kind uint16) []byte {
	for _, a := range list {
		if a.kind == kind {
			return a.data
		}
	}
	return nil
}

// sameData takes a missing value for zero, and a string for itself with its final NUL.
func sameData(have, want []byte) bool {
	if have == nil || want == nil {
		return zero(have) && zero(want)
	}
	return bytes.Equal(bytes.TrimSuffix(have, []byte{0}), bytes.TrimSuffix(want, []byte{0}))
}

func zero(data []byte) bool { return len(bytes.TrimLeft(data, "\x00")) == 0 }
