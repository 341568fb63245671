//go:build linux

package nstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ServeUDP answers on UDP ports of both families in the namespace until the test ends, as uid: to every packet it says
// which port took it.
func (n *Namespace) ServeUDP(t testing.TB, uid int, ports ...uint16) {
	t.Helper()
	for _, port := range ports {
		for _, network := range []string{"udp4", "udp6"} {
			n.Must(t, func() error {
				var conn *net.UDPConn
				err := as(uid, uid, func() (err error) {
					conn, err = listenUDP(network, port)
					return err
				})
				if err != nil {
					return err
				}
				ended := make(chan struct{})
				go func() { defer close(ended); answerUDP(conn, port) }()
				t.Cleanup(func() { _ = conn.Close(); <-ended })
				return nil
			})
		}
	}
}

// listenUDP asks for the address each packet was sent to, so that the answer comes from there.
func listenUDP(network string, port uint16) (*net.UDPConn, error) {
	level, option := unix.SOL_IPV6, unix.IPV6_RECVPKTINFO
	if network == "udp4" {
		level, option = unix.SOL_IP, unix.IP_PKTINFO
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		controlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) })
		return errors.Join(err, controlErr)
	}}
	conn, err := config.ListenPacket(context.Background(), network, fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func answerUDP(conn *net.UDPConn, port uint16) {
	buffer, control := make([]byte, 64), make([]byte, 128)
	for {
		_, n, _, from, err := conn.ReadMsgUDPAddrPort(buffer, control)
		if err != nil {
			return
		}
		_, _, _ = conn.WriteMsgUDPAddrPort(fmt.Appendf(nil, "%d - %s\n", port, from), control[:n], from)
	}
}

// Query sends a packet as Connect makes a connection. That an answer comes says that it came from where the packet went:
// the socket takes no other.
func Query(d Dial) (Answer, error) { return d.talk(unix.SOCK_DGRAM, []byte("who?")) }

// source is the address to bind, valid if there is one.
func (d Dial) source() netip.AddrPort {
	src := d.Src
	if !src.IsValid() && d.Port != 0 {
		src = netip.IPv6Unspecified()
		if d.Dst.Addr().Is4() {
			src = netip.IPv4Unspecified()
		}
	}
	return netip.AddrPortFrom(src, d.Port)
}
