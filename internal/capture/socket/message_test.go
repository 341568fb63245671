package socket

import (
	"errors"
	"slices"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// sent is what the kernel sends: messages one behind the other.
func sent(t testing.TB, list ...netlink.Message) (raw []byte) {
	t.Helper()
	for _, m := range list {
		m.Header.Length = uint32(header + len(m.Data))
		b, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, append(b, make([]byte, aligned(len(b))-len(b))...)...)
	}
	return raw
}

func TestMessages(t *testing.T) {
	first := netlink.Message{Header: netlink.Header{Type: 20, Flags: netlink.Multi, Sequence: 7}, Data: []byte("abcdef78")}
	last := netlink.Message{Header: netlink.Header{Type: netlink.Done, Sequence: 7}, Data: []byte{0, 0, 0, 0}}
	list, err := messages(sent(t, first, last))
	if err != nil || len(list) != 2 || string(list[0].Data) != "abcdef78" || list[0].Header.Sequence != 7 || list[1].Header.Type != netlink.Done {
		t.Fatalf("%v, %v", list, err)
	}
	if list, err := messages(nil); err != nil || len(list) != 0 {
		t.Errorf("nothing: %v, %v", list, err)
	}
	torn := first
	torn.Header.Flags |= netlink.DumpInterrupted
	if _, err := messages(sent(t, first, torn)); !errors.Is(err, unix.EINTR) {
		t.Errorf("a torn list: %v", err)
	}
	whole := sent(t, first)
	for cut := 1; cut < len(whole); cut++ {
		if _, err := messages(whole[:cut]); err == nil {
			t.Errorf("%d of %d bytes pass for a message", cut, len(whole))
		}
	}
	if _, err := messages(append([]byte{15, 0, 0, 0}, whole[4:]...)); err == nil {
		t.Error("a message shorter than its header passes")
	}
}

func TestAttributes(t *testing.T) {
	encoded, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: 1, Data: []byte("name\x00")}, {Type: 2 | unix.NLA_F_NESTED, Data: []byte{1, 2, 3, 4}}, {Type: 3}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := Attributes(encoded)
	same := func(a, b Attribute) bool {
		return a.Kind == b.Kind && a.Nested == b.Nested && string(a.Data) == string(b.Data)
	}
	want := []Attribute{{Kind: 1, Data: []byte("name\x00")}, {Kind: 2, Nested: true, Data: []byte{1, 2, 3, 4}}, {Kind: 3}}
	if err != nil || !slices.EqualFunc(list, want, same) {
		t.Errorf("%v, %v; want %v", list, err, want)
	}
	if list, err = Attributes(encoded[:9]); err != nil || len(list) != 1 {
		t.Errorf("without the last one's padding: %v, %v", list, err)
	}
	for _, broken := range [][]byte{{4, 0, 1}, {3, 0, 1, 0}, {9, 0, 1, 0, 0}} {
		if _, err := Attributes(broken); err == nil {
			t.Errorf("%v pass for attributes", broken)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, data := range [][]byte{nil, {0, 0, 0, 0}, {1, 0}} {
		if err := status(data); err != nil {
			t.Errorf("%v: %v", data, err)
		}
	}
	if err := status([]byte{0xff, 0xff, 0xff, 0xff}); !errors.Is(err, unix.EPERM) {
		t.Errorf("-1: %v", err)
	}
}

// What the kernel sends is read without trust: no length may lead out of it.
func FuzzMessages(f *testing.F) {
	f.Add(sent(f, netlink.Message{Header: netlink.Header{Type: 20}, Data: []byte{8, 0, 1, 0, 0, 0, 0, 1}}))
	f.Add([]byte{16, 0, 0, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := messages(raw)
		total := 0
		for _, m := range list {
			total += header + len(m.Data)
			if split, err := Attributes(m.Data); err == nil && len(split) != attributes(m.Data) {
				t.Errorf("%d attributes, counted %d", len(split), attributes(m.Data))
			}
		}
		if err == nil && total > len(raw) {
			t.Errorf("%d bytes out of %d", total, len(raw))
		}
	})
}
