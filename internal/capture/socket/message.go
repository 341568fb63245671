package socket

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"
	"golang.org/x/sys/unix"
)

// header is the length of struct nlmsghdr: length, type, flags, sequence, port.
const header = unix.SizeofNlMsghdr

// messages splits what the kernel sent in one piece. A list that something changed meanwhile is an EINTR.
func messages(raw []byte) ([]netlink.Message, error) {
	list := make([]netlink.Message, 0, count(raw))
	for len(raw) > 0 {
		length, err := lengthOf(raw)
		if err != nil {
			return nil, err
		}
		m := netlink.Message{
			Header: netlink.Header{
				Length: uint32(length), Type: netlink.HeaderType(binary.NativeEndian.Uint16(raw[4:])),
				Flags: netlink.HeaderFlags(binary.NativeEndian.Uint16(raw[6:])), Sequence: binary.NativeEndian.Uint32(raw[8:]),
				PID: nltest.PID, // what Func's user takes for its own
			},
			Data: raw[header:length:length],
		}
		if m.Header.Flags&netlink.DumpInterrupted != 0 {
			return nil, fmt.Errorf("what the kernel listed changed meanwhile: %w", unix.EINTR)
		}
		list = append(list, m)
		raw = raw[min(aligned(length), len(raw)):]
	}
	return list, nil
}

func lengthOf(raw []byte) (int, error) {
	if len(raw) < header {
		return 0, fmt.Errorf("%d bytes are no netlink message", len(raw))
	}
	length := uint64(binary.NativeEndian.Uint32(raw))
	if length < header || length > uint64(len(raw)) {
		return 0, fmt.Errorf("a netlink message of %d bytes among %d", length, len(raw))
	}
	return int(length), nil
}

func count(raw []byte) (n int) {
	for len(raw) > 0 {
		length, err := lengthOf(raw)
		if err != nil {
			return n
		}
		raw = raw[min(aligned(length), len(raw)):]
		n++
	}
	return n
}

// aligned is where the next message or attribute starts: the last one needn't be filled up.
func aligned(length int) int { return (length + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1) }

// attributeHeader is the length of struct nlattr: length and kind, two bytes each.
const attributeHeader = 4

// Attribute is one netlink attribute.
type Attribute struct {
	Kind   uint16
	Nested bool // said so; the kernel doesn't always
	Data   []byte
}

// Next reads the first attribute of a list, which must not be empty.
func Next(list []byte) (a Attribute, rest []byte, err error) {
	if len(list) < attributeHeader {
		return a, nil, fmt.Errorf("%d bytes are no attribute", len(list))
	}
	length, kind := int(binary.NativeEndian.Uint16(list)), binary.NativeEndian.Uint16(list[2:])
	if length < attributeHeader || length > len(list) {
		return a, nil, fmt.Errorf("an attribute of %d bytes among %d", length, len(list))
	}
	a = Attribute{
		Kind: kind &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER), Nested: kind&unix.NLA_F_NESTED != 0, Data: list[attributeHeader:length:length],
	}
	return a, list[min(aligned(length), len(list)):], nil
}

// Attributes splits a list.
func Attributes(list []byte) ([]Attribute, error) {
	all := make([]Attribute, 0, attributes(list))
	for len(list) > 0 {
		a, rest, err := Next(list)
		if err != nil {
			return nil, err
		}
		all, list = append(all, a), rest
	}
	return all, nil
}

func attributes(list []byte) (n int) {
	for len(list) > 0 {
		_, rest, err := Next(list)
		if err != nil {
			return n
		}
		list = rest
		n++
	}
	return n
}
