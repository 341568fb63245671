package proxyproto

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Values of version 2's 13th and 14th byte.
const (
	version2    = 0x20
	cmdLocal    = 0
	cmdProxy    = 1
	unspecified = 0x00
	tcp4        = 0x11
	tcp6        = 0x21

	addresses4 = 12
	addresses6 = 36
	tlvHead    = 3
)

func (h *Header) parseV2(b []byte) (size, need int, err error) {
	if len(b) < prefix {
		return 0, prefix, nil
	}
	size = prefix + int(binary.BigEndian.Uint16(b[14:]))
	switch command := b[12] &^ 0xf0; {
	case b[12]&0xf0 != version2, command > cmdProxy, size > MaxV2:
		return 0, 0, ErrMalformed
	case len(b) < size:
		return 0, size, nil
	case command == cmdLocal:
		h.Local = true // what stands behind it means nothing
		return size, 0, nil
	}
	rest := b[prefix:size]
	switch b[13] {
	case unspecified:
		h.Local = true
		return size, 0, nil
	case tcp4:
		rest, err = h.addresses(rest, addresses4)
	case tcp6:
		rest, err = h.addresses(rest, addresses6)
	default: // datagrams, and sockets that have a path
		err = ErrMalformed
	}
	if err == nil {
		h.TLVs, err = parseTLVs(rest)
	}
	if err != nil {
		return 0, 0, err
	}
	return size, 0, nil
}

// addresses reads both addresses, then both ports, which take n bytes.
func (h *Header) addresses(b []byte, n int) (rest []byte, err error) {
	if len(b) < n {
		return nil, ErrMalformed
	}
	ip := (n - 4) / 2
	read := func(at int) netip.AddrPort {
		a, _ := netip.AddrFromSlice(b[at*ip : at*ip+ip]) // of 4 or 16 bytes
		return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(b[2*ip+2*at:]))
	}
	h.Source, h.Destination = read(0), read(1)
	return b[n:], nil
}

func parseTLVs(b []byte) (list []stream.TLV, err error) {
	for len(b) > 0 {
		if len(b) < tlvHead {
			return nil, ErrMalformed
		}
		n := tlvHead + int(binary.BigEndian.Uint16(b[1:]))
		if len(b) < n {
			return nil, ErrMalformed
		}
		list = append(list, stream.TLV{Type: b[0], Value: b[tlvHead:n:n]})
		b = b[n:]
	}
	return list, nil
}

// ErrTooLong is the error of a header whose TLVs don't fit.
var ErrTooLong = errors.New("the PROXY protocol header would be too long")

// Append writes the header as its version wants it.
func (h *Header) Append(b []byte) ([]byte, error) {
	if h.Version == V1 {
		return h.appendV1(b), nil
	}
	return h.appendV2(b)
}

func (h *Header) appendV2(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, signature2...)
	source, destination := h.Source.Addr(), h.Destination.Addr()
	switch {
	case h.Local || !source.IsValid() || !destination.IsValid():
		return append(b, version2|cmdLocal, unspecified, 0, 0), nil
	case source.Is4() && destination.Is4():
		b = append(b, version2|cmdProxy, tcp4, 0, 0)
		b = append(append(b, source.AsSlice()...), destination.AsSlice()...)
	default:
		b = append(b, version2|cmdProxy, tcp6, 0, 0)
		one, two := source.As16(), destination.As16()
		b = append(append(b, one[:]...), two[:]...)
	}
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, h.Source.Port()), h.Destination.Port())
	for _, each := range h.TLVs {
		if len(b)-start+tlvHead+len(each.Value) > MaxV2 {
			return nil, ErrTooLong
		}
		b = append(binary.BigEndian.AppendUint16(append(b, each.Type), uint16(len(each.Value))), each.Value...)
	}
	binary.BigEndian.PutUint16(b[start+14:], uint16(len(b)-start-prefix))
	return b, nil
}
