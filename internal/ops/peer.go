package ops

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket is what the kernel says about a TCP socket.
type Socket struct {
	State uint8 // as in tcp_states.h
	UID   uint32
	Inode uint32
}

const established = 1 // TCP_ESTABLISHED

// Kernel identifies peers by asking the kernel.
type Kernel struct {
	// Find looks a TCP socket up by its addresses, in this network namespace.
	Find func(local, remote netip.AddrPort) (Socket, error)
	// Ours reports whether a child of ours holds the socket: what the proxy forwards for others carries our UID too.
	Ours func(inode uint32) (bool, error)
}

// UnixUID reads SO_PEERCRED.
func (k *Kernel) UnixUID(conn *net.UnixConn) (uint32, error) {
	var cred *unix.Ucred
	err := control(conn, func(fd int) (err error) {
		cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// TCPUID finds the peer's socket. The answer counts only if that socket is connected and owned, none of our children
// has it, and our own end is still connected after the look-up, so that the addresses can't have been reused meanwhile.
func (k *Kernel) TCPUID(conn *net.TCPConn) (uint32, error) {
	peer, err := k.Find(addrOf(conn.RemoteAddr()), addrOf(conn.LocalAddr()))
	if err != nil {
		return 0, fmt.Errorf("the peer's socket can't be found: %w", err)
	}
	if peer.State != established || peer.Inode == 0 {
		return 0, errors.New("the peer's socket is already closed")
	}
	forwarded, err := k.Ours(peer.Inode)
	if err != nil {
		return 0, fmt.Errorf("the sockets of the sidecar's processes can't be listed: %w", err)
	}
	if forwarded {
		return 0, errors.New("the request came through the proxy")
	}
	return peer.UID, stillConnected(conn)
}

func stillConnected(conn *net.TCPConn) error {
	var info *unix.TCPInfo
	err := control(conn, func(fd int) (err error) {
		info, err = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err
	})
	if err != nil {
		return err
	}
	if info.State != established {
		return errors.New("the connection is being closed")
	}
	return nil
}

func control(conn syscall.Conn, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
