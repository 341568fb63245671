package socket

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below don't tell the scheduler of themselves (RawSyscall): none of them blocks, and telling would cost more
// than some of them do. On the loopback interface a connect carries its whole handshake, long enough for the scheduler to
// give the processor away for nothing.

const flags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC

func tcpSocket(family int) (int, error) {
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|flags, unix.IPPROTO_TCP) //nolint:gosec // a constant
	return int(fd), orNil(errno)                                                                                //nolint:gosec // a descriptor
}

// accept returns the next connection and its peer.
func accept(listening int) (fd int, remote netip.AddrPort, err error) {
	var from sockaddr
	from.length = uint32(unsafe.Sizeof(from.raw))
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listening), uintptr(unsafe.Pointer(&from.raw)), uintptr(unsafe.Pointer(&from.length)), flags, 0, 0)
		if errno != unix.EINTR {
			return int(r), from.address(), orNil(errno) //nolint:gosec // a descriptor
		}
	}
}

// connect begins to connect, or asks how far that is: unix.EINPROGRESS and unix.EALREADY say that it is under way.
func connect(fd int, to *sockaddr) error {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to.raw)), uintptr(to.length))
		switch errno {
		case unix.EINTR:
		case unix.EISCONN:
			return nil
		default:
			return orNil(errno)
		}
	}
}

func bind(fd int, to *sockaddr) error {
	_, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&to.raw)), uintptr(to.length))
	return orNil(errno)
}

// replace closes what fd stands for and lets it stand for what other does.
func replace(fd, other int) error {
	_, _, errno := unix.RawSyscall(unix.SYS_DUP3, uintptr(other), uintptr(fd), unix.O_CLOEXEC)
	return orNil(errno)
}

func shutdown(fd, how int) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), uintptr(how), 0)
	return orNil(errno)
}

func setNoDelay(fd int) error {
	on := int32(1)
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, uintptr(unsafe.Pointer(&on)), unsafe.Sizeof(on), 0)
	return orNil(errno)
}

// getsockopt reads an option into value, and how long that is into length.
func getsockopt(fd, level, option int, value unsafe.Pointer, length *uint32) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option), uintptr(value), uintptr(unsafe.Pointer(length)), 0)
	return orNil(errno)
}

// Failed returns what broke a connection, once, or nil.
func Failed(fd uintptr) error {
	var code int32
	length := uint32(unsafe.Sizeof(code))
	if err := getsockopt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR, unsafe.Pointer(&code), &length); err != nil {
		return err
	}
	return orNil(unix.Errno(code)) //nolint:gosec // not negative
}

// Read reads into p what is there, from a socket that doesn't block, without telling the scheduler. 0 is the end of data.
func Read(fd uintptr, p []byte) (int, error) { return move(unix.SYS_READ, fd, p) }

// Write writes of p what there is room for, to a socket that doesn't block, without telling the scheduler.
func Write(fd uintptr, p []byte) (int, error) { return move(unix.SYS_WRITE, fd, p) }

// Peek is as Read, and what it shows stays in the socket.
func Peek(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return counted(n, errno)
		}
	}
}

// Splice moves at most limit bytes between two descriptors that don't block, one of them a pipe's, inside the kernel.
func Splice(from, to, limit int) (int, error) {
	const how = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(limit), how)
		if errno != unix.EINTR {
			return counted(n, errno)
		}
	}
}

// counted is a result of a call that moves bytes.
func counted(n uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil //nolint:gosec // no more than was asked for
}

func move(call, fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if errno != unix.EINTR {
			return counted(n, errno)
		}
	}
}

// Ended reports whether the peer has ended its side, or the connection broke. Bytes it sent before may still be there.
func Ended(fd uintptr) bool {
	set := unix.PollFd{Fd: int32(fd), Events: unix.POLLRDHUP} //nolint:gosec // descriptors are small
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&set)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return errno == 0 && n > 0
}

// nameOf is the socket's own address, invalid if it has none.
func nameOf(fd int) netip.AddrPort {
	var name sockaddr
	name.length = uint32(unsafe.Sizeof(name.raw))
	_, _, _ = unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&name.raw)), uintptr(unsafe.Pointer(&name.length)))
	return name.address()
}

// orNil keeps 0 from being an error.
func orNil(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// sockaddr is an address as the kernel has it.
type sockaddr struct {
	raw    unix.RawSockaddrInet6 // the larger of both families; IPv4's begins in the same way
	length uint32
}

func newSockaddr(a netip.AddrPort) (*sockaddr, error) {
	var s sockaddr
	ip := a.Addr().Unmap()
	switch {
	case ip.Is4():
		v4 := s.v4()
		v4.Family, v4.Addr, v4.Port = unix.AF_INET, ip.As4(), inNetworkOrder(a.Port())
		s.length = uint32(unsafe.Sizeof(*v4))
		return &s, nil
	case ip.Is6():
		zone, err := zoneOf(ip)
		s.raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: ip.As16(), Port: inNetworkOrder(a.Port()), Scope_id: zone}
		s.length = uint32(unsafe.Sizeof(s.raw))
		return &s, err
	}
	return nil, fmt.Errorf("%s is not an address", a)
}

func (s *sockaddr) family() int { return int(s.raw.Family) }

func (s *sockaddr) v4() *unix.RawSockaddrInet4 {
	return (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
}

// address is what the kernel wrote; invalid if that is neither IPv4 nor IPv6.
func (s *sockaddr) address() netip.AddrPort {
	switch s.raw.Family {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4(s.v4().Addr), inNetworkOrder(s.v4().Port))
	case unix.AF_INET6:
		ip := netip.AddrFrom16(s.raw.Addr).Unmap()
		return netip.AddrPortFrom(ip.WithZone(zoneName(s.raw.Scope_id)), inNetworkOrder(s.raw.Port))
	}
	return netip.AddrPort{}
}

// zoneOf is the number of an address's interface, which is named or numbered already.
func zoneOf(ip netip.Addr) (uint32, error) {
	zone := ip.Zone()
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil //nolint:gosec // not negative
}

// zoneName is the name of an interface, or its number if it has gone; 0 is none.
func zoneName(number uint32) string {
	if number == 0 {
		return ""
	}
	if i, err := net.InterfaceByIndex(int(number)); err == nil {
		return i.Name
	}
	return strconv.FormatUint(uint64(number), 10)
}

// inNetworkOrder turns a port's bytes as the kernel wants them, and back.
func inNetworkOrder(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
