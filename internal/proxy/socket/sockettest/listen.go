package sockettest

import (
	"net"
	"net/netip"
	"os"
	"testing"
)

// Listen opens a socket on Loopback.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", Any())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Any is any free port of Loopback, to listen at.
func Any() string { return netip.AddrPortFrom(Loopback(), 0).String() }

// Loopback is an IPv4 address of this process's own. Test programs run side by side, and the kernel gives a port to the
// next who asks as soon as it is free: on 127.0.0.1 the clients of one program's dead server would come to another's.
func Loopback() netip.Addr {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, 64 | byte(pid>>16&0x3f), byte(pid >> 8), byte(pid)})
}

// Refused is the nth address where nobody listens.
func Refused(n byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, n}), 1)
}
