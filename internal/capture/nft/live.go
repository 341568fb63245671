package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// ErrNoLiveSet says that the rules in force have no such live set.
var ErrNoLiveSet = errors.New("the rules in force have no such live set")

// AddElements puts elements into a live set, in one transaction: they're in force when it returns. Those that are there
// already stay.
func (b *Backend) AddElements(name string, list []plan.Element) error {
	set, err := liveSet(name)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(list, elementsPerMessage) {
		if err := b.conn.SetAddElements(set, setElements(part)); err != nil {
			return errors.Join(err, b.reopen())
		}
	}
	return b.commit("adding to live set "+name, len(list))
}

// RemoveElements takes elements out of live sets, in one transaction. The kernel refuses all of it if one isn't there:
// then what is there is looked up.
func (b *Backend) RemoveElements(lists map[string][]plan.Element) error {
	err := b.remove(lists)
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	present := map[string][]plan.Element{}
	for name, list := range lists {
		have, err := b.Elements(name)
		if err != nil {
			return err
		}
		there := map[plan.Element]bool{}
		for _, e := range have {
			there[e] = true
		}
		present[name] = slices.DeleteFunc(slices.Clone(list), func(e plan.Element) bool { return !there[e] })
	}
	return b.remove(present)
}

func (b *Backend) remove(lists map[string][]plan.Element) error {
	count := 0
	for name, list := range lists {
		set, err := liveSet(name)
		if err != nil {
			return err
		}
		for part := range slices.Chunk(list, elementsPerMessage) {
			if err := b.conn.SetDeleteElements(set, setElements(part)); err != nil {
				return errors.Join(err, b.reopen())
			}
			count += len(part)
		}
	}
	return b.commit("removing from live sets", count)
}

func (b *Backend) commit(doing string, count int) error {
	if count == 0 {
		return nil
	}
	err := b.conn.Flush()
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.ENOENT) {
		err = fmt.Errorf("%w: %w", ErrNoLiveSet, err)
	}
	return errors.Join(classify(fmt.Sprintf("%s, %d elements", doing, count), err, false), b.reopen())
}

// Elements are what a live set holds, in no order.
func (b *Backend) Elements(name string) ([]plan.Element, error) {
	set, err := liveSet(name)
	if err != nil {
		return nil, err
	}
	var elems []nftables.SetElement
	err = b.untorn(func() (err error) {
		elems, err = b.conn.GetSetElements(set)
		return err
	})
	if err != nil {
		if b.isAny(err, unix.ENOENT) {
			err = fmt.Errorf("%w: %w", ErrNoLiveSet, err)
		}
		return nil, errors.Join(classify("reading live set "+name, err, false), b.reopen())
	}
	kind, _ := plan.LiveKind(name)
	list := make([]plan.Element, 0, len(elems))
	for _, e := range elems {
		if element, ok := elementOf(kind, e.Key); ok {
			list = append(list, element)
		}
	}
	return list, nil
}

func liveSet(name string) (*nftables.Set, error) {
	kind, ok := plan.LiveKind(name)
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrNoLiveSet, name)
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: plan.TableName}
	return set(table, &plan.Set{Name: name, Kind: kind, Live: true}, 0), nil
}

func setElements(list []plan.Element) []nftables.SetElement {
	elems := make([]nftables.SetElement, len(list))
	for i, e := range list {
		elems[i].Key = key(e)
	}
	return elems
}

// elementOf reads a key back; others may have put anything there.
func elementOf(kind plan.Kind, key []byte) (e plan.Element, ok bool) {
	length := map[plan.Kind]int{plan.KindProto: 1, plan.KindIPv4: 4, plan.KindIPv6: 16, plan.KindIPv4Port: 8, plan.KindIPv6Port: 20}[kind]
	if len(key) != length {
		return e, false
	}
	switch kind {
	case plan.KindProto:
		e.Proto = key[0]
		return e, true
	case plan.KindIPv4Port, plan.KindIPv6Port:
		e.Port = uint16(key[length-4])<<8 | uint16(key[length-3])
		key = key[:length-4]
	}
	e.Addr, ok = netip.AddrFromSlice(key)
	return e, ok
}
