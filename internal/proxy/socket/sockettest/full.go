// Package sockettest has sockets for tests.
package sockettest

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Full is the address of a socket whose queue has no room: who connects to it waits.
func Full(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	local := [4]byte{127, 0, 0, 1}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: local}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(netip.AddrFrom4(local), uint16(name.(*unix.SockaddrInet4).Port)) //nolint:errcheck,gosec // bound above
	for {                                                                                     // until nobody answers
		conn, err := net.DialTimeout("tcp4", to.String(), 300*time.Millisecond)
		if err != nil {
			return to
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}
