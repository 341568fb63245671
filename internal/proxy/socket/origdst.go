package socket

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OriginalDst returns where the client wanted to go before netfilter redirected it. A connection that was not redirected
// was going to its local address.
func (c *Conn) OriginalDst() (netip.AddrPort, error) {
	var dst netip.AddrPort
	var failed error
	if err := c.raw.Control(func(fd uintptr) { dst, failed = originalDst(int(fd), c.remote.Addr().Is4()) }); err != nil {
		return netip.AddrPort{}, c.failure("getsockopt", err)
	}
	switch {
	case failed == nil:
		return dst, nil
	case errors.Is(failed, unix.ENOENT), errors.Is(failed, unix.ENOPROTOOPT), errors.Is(failed, unix.EOPNOTSUPP):
		return c.Local(), nil // not translated, or no connection tracking here at all
	default:
		return netip.AddrPort{}, fmt.Errorf("reading SO_ORIGINAL_DST: %w", os.NewSyscallError("getsockopt", failed))
	}
}

// originalDst reads SO_ORIGINAL_DST of linux/netfilter_ipv4.h or IP6T_SO_ORIGINAL_DST of netfilter_ipv6, the same number
// at two levels. The answer is a socket address.
func originalDst(fd int, v4 bool) (netip.AddrPort, error) {
	var dst sockaddr
	level := unix.SOL_IPV6
	dst.length = uint32(unsafe.Sizeof(dst.raw))
	if v4 {
		level, dst.length = unix.SOL_IP, uint32(unsafe.Sizeof(*dst.v4()))
	}
	err := getsockopt(fd, level, unix.SO_ORIGINAL_DST, unsafe.Pointer(&dst.raw), &dst.length)
	return dst.address(), err
}
