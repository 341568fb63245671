package proxyproto

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// parseV1 reads "PROXY TCP4 source destination port port\r\n".
func (h *Header) parseV1(b []byte) (size, need int, err error) {
	end := bytes.Index(b[:min(len(b), maxV1)], []byte("\r\n"))
	switch {
	case end < 0 && len(b) >= maxV1:
		return 0, 0, ErrMalformed
	case end < 0:
		return 0, len(b) + 1, nil
	}
	words := strings.Split(string(b[:end]), " ")
	if words[1] == "UNKNOWN" {
		h.Local = true // whatever stands behind it
		return end + 2, 0, nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return 0, 0, ErrMalformed
	}
	v4 := words[1] == "TCP4"
	source, ok := address(words[2], words[4], v4)
	destination, ok2 := address(words[3], words[5], v4)
	if !ok || !ok2 {
		return 0, 0, ErrMalformed
	}
	h.Source, h.Destination = source, destination
	return end + 2, 0, nil
}

// address reads an address and a port as the protocol writes them: no zone, no leading zeros.
func address(ip, port string, v4 bool) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(ip)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || a.Is4() != v4 || a.Zone() != "" || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}

// appendV1 writes the header. Addresses of different families are of none that version 1 knows.
func (h *Header) appendV1(b []byte) []byte {
	kind := "TCP4"
	switch source, destination := h.Source.Addr(), h.Destination.Addr(); {
	case h.Local || !source.IsValid() || !destination.IsValid():
		return append(b, "PROXY UNKNOWN\r\n"...)
	case !source.Is4() || !destination.Is4():
		kind = "TCP6"
	}
	write := func(a netip.Addr) string {
		if kind == "TCP6" && a.Is4() {
			a = netip.AddrFrom16(a.As16())
		}
		return a.WithZone("").String()
	}
	b = append(b, "PROXY "+kind+" "+write(h.Source.Addr())+" "+write(h.Destination.Addr())+" "...)
	b = append(strconv.AppendUint(b, uint64(h.Source.Port()), 10), ' ')
	return append(strconv.AppendUint(b, uint64(h.Destination.Port()), 10), "\r\n"...)
}
