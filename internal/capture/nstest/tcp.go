//go:build linux

package nstest

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/socket"
)

// wait bounds every step of a connection; on loopback and veth they take microseconds, unless the machine does much else.
const wait = 20 * time.Second

// Serve listens on ports of both families in the namespace until the test ends. To whoever connects it says which port
// took the connection and where it was meant to go, and closes.
func (n *Namespace) Serve(t testing.TB, ports ...uint16) {
	t.Helper()
	n.serveTCP(t, &net.ListenConfig{}, ports...)
}

// ServeTransparent is Serve for a proxy that takes connections to any address, as TPROXY hands them over.
func (n *Namespace) ServeTransparent(t testing.TB, ports ...uint16) {
	t.Helper()
	n.serveTCP(t, &net.ListenConfig{Control: func(network, _ string, raw syscall.RawConn) (err error) {
		controlErr := raw.Control(func(fd uintptr) { err = transparent(int(fd), strings.HasSuffix(network, "4")) })
		return errors.Join(err, controlErr)
	}}, ports...)
}

func transparent(fd int, v4 bool) error {
	if v4 {
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
}

func (n *Namespace) serveTCP(t testing.TB, config *net.ListenConfig, ports ...uint16) {
	t.Helper()
	for _, port := range ports {
		for _, network := range []string{"tcp4", "tcp6"} {
			n.Must(t, func() error {
				listener, err := config.Listen(context.Background(), network, fmt.Sprintf(":%d", port))
				if err != nil {
					return err
				}
				ended := make(chan struct{})
				go func() { defer close(ended); answer(listener, port) }()
				t.Cleanup(func() { listener.Close(); <-ended })
				return nil
			})
		}
	}
}

func answer(listener net.Listener, port uint16) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		original, err := originalDst(conn.(*net.TCPConn))
		if err != nil {
			original = netip.AddrPort{}
		}
		_ = conn.SetDeadline(time.Now().Add(wait))
		fmt.Fprintf(conn, "%d %s %s\n", port, original, conn.RemoteAddr())
		conn.Close()
	}
}

// originalDst asks conntrack where a connection was meant to go before it was redirected.
func originalDst(conn *net.TCPConn) (dst netip.AddrPort, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return dst, err
	}
	v4 := conn.LocalAddr().(*net.TCPAddr).IP.To4() != nil
	controlErr := raw.Control(func(fd uintptr) { dst, err = socket.OriginalDst(int(fd), v4) })
	return dst, errors.Join(err, controlErr)
}

// Dial is one connection to make.
type Dial struct {
	UID, GID int
	Mark     int        // of its packets; 0 = none
	Borrowed bool       // Src is somebody else's address
	Src      netip.Addr // zero: the kernel's choice
	Port     uint16     // of the source; 0: the kernel's choice
	Dst      netip.AddrPort
	Wait     time.Duration // for each step; 0: as long as a slow machine needs
}

// Answer is what the listener that got the connection says.
type Answer struct {
	Port     uint16         // of the listener
	Original netip.AddrPort // as conntrack knows it, zero if it knows nothing
	Local    netip.AddrPort // the client's own address
}

// Connect makes a connection on the calling thread, which must be in the namespace. The socket belongs to UID and GID:
// the kernel looks at the file-system ids of the thread that makes it.
func Connect(d Dial) (Answer, error) { return d.talk(unix.SOCK_STREAM, nil) }

// talk connects, says something if there's something to say, and reads the answer.
func (d Dial) talk(kind int, say []byte) (a Answer, err error) {
	fd, err := d.socket(kind)
	if err != nil {
		return a, err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := connect(fd, sockaddr(d.Dst)); err != nil {
		return a, fmt.Errorf("connecting to %s: %w", d.Dst, err)
	}
	if a.Local, err = local(fd); err != nil {
		return a, err
	}
	if _, err := unix.Write(fd, say); say != nil && err != nil {
		return a, fmt.Errorf("writing to %s: %w", d.Dst, err)
	}
	buffer := make([]byte, 256)
	n, err := read(fd, buffer)
	if err != nil {
		return a, fmt.Errorf("reading from %s: %w", d.Dst, err)
	}
	line, _ := bufio.NewReader(strings.NewReader(string(buffer[:n]))).ReadString('\n')
	var original, remote string
	if _, err := fmt.Sscan(line, &a.Port, &original, &remote); err != nil {
		return a, fmt.Errorf("answer %q: %w", line, err)
	}
	a.Original, _ = netip.ParseAddrPort(original)
	return a, nil
}

// as runs work with the file-system ids a socket it makes belongs to.
func as(uid, gid int, work func() error) (err error) {
	if err := errors.Join(unix.Setfsgid(gid), unix.Setfsuid(uid)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Setfsuid(os.Getuid()), unix.Setfsgid(os.Getgid())) }()
	return work()
}

func (d Dial) socket(kind int) (fd int, err error) {
	family := unix.AF_INET6
	if d.Dst.Addr().Is4() {
		family = unix.AF_INET
	}
	err = as(d.UID, d.GID, func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return 0, err
	}
	timeout := unix.NsecToTimeval(cmp.Or(d.Wait, wait).Nanoseconds())
	err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout))
	if err == nil && d.Mark != 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, d.Mark)
	}
	if err == nil && d.Borrowed {
		err = transparent(fd, d.Dst.Addr().Is4())
	}
	if src := d.source(); err == nil && src.IsValid() {
		err = unix.Bind(fd, sockaddr(src))
	}
	if err != nil {
		err = errors.Join(err, unix.Close(fd))
	}
	return fd, err
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func local(fd int) (netip.AddrPort, error) {
	name, err := unix.Getsockname(fd)
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), err
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)), err
	}
	return netip.AddrPort{}, errors.Join(err, syscall.EAFNOSUPPORT)
}

// connect goes on after a signal, which ends the call but not the attempt.
func connect(fd int, to unix.Sockaddr) error {
	for {
		err := unix.Connect(fd, to)
		switch {
		case errors.Is(err, unix.EISCONN):
			return nil
		case !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EALREADY):
			return err
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(wait.Milliseconds()))
	}
}

func read(fd int, buffer []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buffer)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
