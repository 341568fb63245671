package socket

import (
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OriginalDst asks conntrack where a connection was meant to go before it was redirected: SO_ORIGINAL_DST of IPv4 and
// IP6T_SO_ORIGINAL_DST of IPv6, both option 80, whose answer is a socket address.
func OriginalDst(fd int, v4 bool) (netip.AddrPort, error) {
	if v4 {
		mreq, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, unix.SO_ORIGINAL_DST)
		if err != nil {
			return netip.AddrPort{}, os.NewSyscallError("getsockopt", err)
		}
		b := mreq.Multiaddr
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3])), nil
	}
	info, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, unix.SO_ORIGINAL_DST)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockopt", err)
	}
	port := *(*[2]byte)(unsafe.Pointer(&info.Addr.Port))
	return netip.AddrPortFrom(netip.AddrFrom16(info.Addr.Addr), uint16(port[0])<<8|uint16(port[1])), nil
}
