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
	"github.com/pillion-mesh/pillion/internal/capture/socket"
)

// headerLength is that of struct nfgenmsg, which every message of netfilter starts with.
const headerLength = 4

// rule is a rule as the kernel lists it. Expressions stay encoded: the library drops those it doesn't know, and a rule
// with one more must not pass for ours.
type rule struct {
	chain   string
	handle  uint64
	comment string
	exprs   []socket.Attribute
}

// readRules lists all rules of our table in one dump, in order within each chain.
func (b *Backend) readRules() (map[string][]rule, error) {
	table, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_RULE_TABLE, Data: []byte(plan.TableName + "\x00")}})
	if err != nil {
		return nil, err
	}
	header := []byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}
	messages, err := b.sock.Ask(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETRULE, netlink.Dump, append(header, table...))
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
	for list := data[headerLength:]; len(list) > 0 && err == nil; {
		var a socket.Attribute
		if a, list, err = socket.Next(list); err != nil {
			return r, err
		}
		switch a.Kind {
		case unix.NFTA_RULE_CHAIN:
			r.chain = string(bytes.TrimRight(a.Data, "\x00"))
		case unix.NFTA_RULE_HANDLE:
			r.handle = bigEndian(a.Data)
		case unix.NFTA_RULE_USERDATA:
			r.comment = commentOf(a.Data)
		case unix.NFTA_RULE_EXPRESSIONS:
			r.exprs, err = socket.Attributes(a.Data)
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

// sameExprs compares the kernel's expressions with ours, one by one.
func sameExprs(have []socket.Attribute, want []expr.Any) bool {
	if len(have) != len(want) {
		return false
	}
	for i, w := range want {
		encoded, err := expr.Marshal(byte(nftables.TableFamilyINet), w)
		if err != nil || !sameAttributes(have[i].Data, encoded, derived(w)) {
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
	for list := want; len(list) > 0; {
		w, rest, err := socket.Next(list)
		if err != nil {
			return false
		}
		list = rest
		other := find(have, w.Kind)
		if w.Nested && !sameAttributes(other, w.Data, derived) || !w.Nested && !sameData(other, w.Data) {
			return false
		}
	}
	for list := have; len(list) > 0; {
		h, rest, err := socket.Next(list)
		if err != nil {
			return false
		}
		list = rest
		if find(want, h.Kind) == nil && !slices.Contains(derived, h.Kind) && !zero(h.Data) {
			return false
		}
	}
	return true
}

// find is the data of the first attribute of a kind, nil if there's none.
func find(list []byte, kind uint16) []byte {
	for len(list) > 0 {
		a, rest, err := socket.Next(list)
		if err != nil {
			return nil
		}
		if a.Kind == kind {
			return a.Data
		}
		list = rest
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
