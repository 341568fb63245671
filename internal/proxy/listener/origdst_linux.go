package listener

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// soOriginalDst is SO_ORIGINAL_DST of linux/netfilter_ipv4.h and IP6T_SO_ORIGINAL_DST of netfilter_ipv6: the same
// number at two levels.
const soOriginalDst = 80

// OriginalDst returns where the client of conn wanted to go before netfilter redirected it. A connection that was not
// redirected was going to its local address.
func OriginalDst(conn *net.TCPConn) (netip.AddrPort, error) {
	local := unmapped(conn.LocalAddr())
	raw, err := conn.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var dst netip.AddrPort
	var opt error
	if err := raw.Control(func(fd uintptr) { dst, opt = originalDst(int(fd), local.Addr().Is4()) }); err != nil {
		return netip.AddrPort{}, err
	}
	switch {
	case opt == nil:
		return dst, nil
	case errors.Is(opt, unix.ENOENT), errors.Is(opt, unix.ENOPROTOOPT), errors.Is(opt, unix.EOPNOTSUPP):
		return local, nil // not translated, or no connection tracking here at all
	default:
		return netip.AddrPort{}, fmt.Errorf("reading SO_ORIGINAL_DST: %w", opt)
	}
}

// originalDst reads the option through the two x/sys calls whose structures are as long as sockaddr_in and
// sockaddr_in6; the names of those calls mean nothing here.
func originalDst(fd int, v4 bool) (netip.AddrPort, error) {
	if v4 {
		sa, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, soOriginalDst)
		if err != nil {
			return netip.AddrPort{}, err
		}
		raw := sa.Multiaddr
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[4:8])), uint16(raw[2])<<8|uint16(raw[3])), nil
	}
	sa, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, soOriginalDst)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var port [2]byte // sin6_port holds the two bytes in network order, whatever this machine's order is
	binary.NativeEndian.PutUint16(port[:], sa.Addr.Port)
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr.Addr).Unmap(), binary.BigEndian.Uint16(port[:])), nil
}

func unmapped(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
