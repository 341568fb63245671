package nft

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// set is the kernel's declaration of a list. The id ties the elements of the same transaction to it.
func set(table *nftables.Table, s *plan.Set, id int) *nftables.Set {
	order := binaryutil.BigEndian
	if (s.Kind == plan.KindUID || s.Kind == plan.KindGID || s.Kind == plan.KindInterface) && !s.Interval() {
		order = binaryutil.NativeEndian
	}
	return &nftables.Set{
		Table: table, ID: uint32(id), Name: s.Name, KeyType: keyType(s.Kind), Interval: s.Interval(), KeyByteOrder: order,
		Concatenation: s.Kind == plan.KindIPv4Port || s.Kind == plan.KindIPv6Port,
	}
}

func keyType(kind plan.Kind) nftables.SetDatatype {
	switch kind {
	case plan.KindIPv4Port:
		return nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	case plan.KindIPv6Port:
		return nftables.MustConcatSetType(nftables.TypeIP6Addr, nftables.TypeInetService)
	}
	return [...]nftables.SetDatatype{
		nftables.TypeInetService, nftables.TypeInetProto, nftables.TypeUID, nftables.TypeGID, nftables.TypeIPAddr,
		nftables.TypeIP6Addr, nftables.TypeIFName,
	}[kind]
}

// key is a live set's entry in the kernel's terms; parts of a concatenation fill up to 4 bytes.
func key(e plan.Element) []byte {
	switch {
	case e.Proto != 0:
		return []byte{e.Proto}
	case e.Port != 0:
		return append(e.Addr.AsSlice(), byte(e.Port>>8), byte(e.Port), 0, 0)
	default:
		return e.Addr.AsSlice()
	}
}

func interfaceKey(name string) []byte {
	key := make([]byte, unix.IFNAMSIZ)
	copy(key, name)
	return key
}

// span is an inclusive range of a set's keys, as the kernel orders them.
type span struct{ lo, hi []byte }

// spans are the contents of a set in the kernel's terms.
func spans(s *plan.Set) []span {
	var list []span
	for _, r := range s.Ranges {
		list = append(list, span{number(s, r.Lo), number(s, r.Hi)})
	}
	for _, p := range s.Prefixes {
		lo, m := p.Addr().AsSlice(), mask(p)
		hi := slices.Clone(lo)
		for i := range hi {
			hi[i] |= ^m[i]
		}
		list = append(list, span{lo, hi})
	}
	for _, name := range s.Names {
		list = append(list, span{interfaceKey(name), interfaceKey(name)})
	}
	for _, e := range s.First {
		list = append(list, span{key(e), key(e)})
	}
	return list
}

// number is a key of the width and byte order of the set's kind.
func number(s *plan.Set, n uint32) []byte {
	switch {
	case s.Kind == plan.KindPort:
		return binary.BigEndian.AppendUint16(nil, uint16(n))
	case s.Kind == plan.KindProto:
		return []byte{byte(n)}
	case s.Interval():
		return binary.BigEndian.AppendUint32(nil, n)
	default:
		return binaryutil.NativeEndian.PutUint32(n)
	}
}

// elements are spans as the kernel takes them: in an interval set a start, and after the last key an end, which a span
// that reaches the highest key doesn't have.
func elements(list []span, interval bool) []nftables.SetElement {
	var elems []nftables.SetElement
	for _, s := range list {
		elems = append(elems, nftables.SetElement{Key: s.lo})
		if next, ok := successor(s.hi); interval && ok {
			elems = append(elems, nftables.SetElement{Key: next, IntervalEnd: true})
		}
	}
	return elems
}

// spansOf reads elements back, in whatever order the kernel lists them.
func spansOf(elems []nftables.SetElement, interval bool) []span {
	sort.Slice(elems, func(i, j int) bool {
		a, b := &elems[i], &elems[j]
		if c := bytes.Compare(a.Key, b.Key); c != 0 {
			return c < 0
		}
		return a.IntervalEnd && !b.IntervalEnd // one span's end before the next one's start
	})
	var list []span
	for _, e := range elems {
		switch {
		case e.IntervalEnd && len(list) > 0:
			list[len(list)-1].hi = predecessor(e.Key)
		case !e.IntervalEnd && interval:
			list = append(list, span{e.Key, bytes.Repeat([]byte{0xff}, len(e.Key))})
		case !e.IntervalEnd:
			list = append(list, span{e.Key, e.Key})
		}
	}
	return list
}

// successor is the next key; there is none after the highest.
func successor(key []byte) ([]byte, bool) {
	next := slices.Clone(key)
	for i := len(next) - 1; i >= 0; i-- {
		next[i]++
		if next[i] != 0 {
			return next, true
		}
	}
	return nil, false
}

func predecessor(key []byte) []byte {
	last := slices.Clone(key)
	for i := len(last) - 1; i >= 0; i-- {
		last[i]--
		if last[i] != 0xff {
			break
		}
	}
	return last
}

func sameSpans(a, b []span) bool {
	for _, list := range [][]span{a, b} {
		sort.Slice(list, func(i, j int) bool { return bytes.Compare(list[i].lo, list[j].lo) < 0 })
	}
	return slices.EqualFunc(a, b, func(x, y span) bool { return bytes.Equal(x.lo, y.lo) && bytes.Equal(x.hi, y.hi) })
}
