package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/socket"
)

// listener stands in for the proxy or the application at one port of one family.
type listener struct {
	fd   int
	port uint16
	udp  bool
	v4   bool
}

func (r *race) listen(families plan.Families, port uint16, kind int) {
	for _, v4 := range []bool{true, false} {
		if v4 && !families.V4 || !v4 && !families.V6 || r.has(port, kind, v4) {
			continue
		}
		fd, err := open(v4, port, kind)
		if err != nil {
			r.taken[port] = err
			continue
		}
		r.listeners = append(r.listeners, listener{fd: fd, port: port, udp: kind == unix.SOCK_DGRAM, v4: v4})
	}
}

// resolver answers queries over UDP. Its answers are told from others by their owner: only the proxy's find back.
func (r *race) resolver(p *plan.Plan) {
	owner := proxyOwner(p)
	if owner == nil {
		r.unanswered = errors.New("the plan knows the proxy by a mark alone")
		return
	}
	r.unanswered = as(*owner, func() error {
		r.listen(p.Families, p.DNS.Port, unix.SOCK_DGRAM)
		return nil
	})
}

func (r *race) has(port uint16, kind int, v4 bool) bool {
	for _, l := range r.listeners {
		if l.port == port && l.udp == (kind == unix.SOCK_DGRAM) && l.v4 == v4 {
			return true
		}
	}
	return false
}

func open(v4 bool, port uint16, kind int) (fd int, err error) {
	any := netip.IPv6Unspecified()
	if v4 {
		any = netip.IPv4Unspecified()
	}
	if fd, err = unix.Socket(familyOf(any), kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if v4 {
		err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_PKTINFO, 1)
	} else {
		err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 1), unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1))
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(any, port)))
	}
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, 64)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("listening on port %d: %w", port, err), unix.Close(fd))
	}
	return fd, nil
}

// accept takes everything a listener has.
func (r *race) accept(l listener) {
	for l.udp {
		buffer, control := make([]byte, 64), make([]byte, 128)
		n, oob, _, from, err := unix.Recvmsg(l.fd, buffer, control, 0)
		if err != nil {
			return
		}
		r.arrivals[client{true, addrPort(from)}] = arrival{port: l.port}
		// What says where the query was sent to says, sent back, where the answer comes from.
		_ = unix.Sendmsg(l.fd, buffer[:n], control[:oob], from, 0)
	}
	for {
		fd, from, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		original, _ := socket.OriginalDst(fd, l.v4) // conntrack may know nothing of what was left alone
		r.arrivals[client{false, addrPort(from)}] = arrival{port: l.port, original: original}
		_ = unix.Close(fd)
	}
}
