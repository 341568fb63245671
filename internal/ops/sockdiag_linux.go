package ops

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// FindSocket asks the kernel by sock_diag, which needs no capability, and reads /proc/net/tcp where there is none.
func FindSocket(local, remote netip.AddrPort) (Socket, error) {
	s, err := diagSocket(local, remote)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return s, err
	}
	return procSocket("/proc/net", local, remote)
}

// Layout of struct inet_diag_req_v2 and inet_diag_msg of linux/inet_diag.h. Ports and addresses are in network order,
// the rest is in this machine's.
const (
	diagRequestLen = 56
	diagAnswerLen  = 72
	diagIDOffset   = 8 // of struct inet_diag_sockid in the request
	diagUIDOffset  = 64
	diagInoOffset  = 68
)

func diagSocket(local, remote netip.AddrPort) (Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return Socket{}, fmt.Errorf("opening sock_diag netlink: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written that could be lost
	timeout := unix.Timeval{Sec: 1}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return Socket{}, err
	}
	if err := unix.Sendto(fd, diagRequest(local, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return Socket{}, fmt.Errorf("asking sock_diag: %w", err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return Socket{}, fmt.Errorf("reading sock_diag: %w", err)
	}
	return parseDiag(answer[:n])
}

// diagRequest asks for exactly one socket. An IPv4 request also finds the IPv6 socket of a process that connected to
// the IPv4-mapped address.
func diagRequest(local, remote netip.AddrPort) []byte {
	m := make([]byte, unix.NLMSG_HDRLEN+diagRequestLen)
	binary.NativeEndian.PutUint32(m[0:], uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST)
	req := m[unix.NLMSG_HDRLEN:]
	req[0], req[1] = unix.AF_INET6, unix.IPPROTO_TCP
	if local.Addr().Is4() {
		req[0] = unix.AF_INET
	}
	binary.NativeEndian.PutUint32(req[4:], 1<<established)
	id := req[diagIDOffset:]
	binary.BigEndian.PutUint16(id[0:], local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	copy(id[4:20], local.Addr().AsSlice())
	copy(id[20:36], remote.Addr().AsSlice())
	binary.NativeEndian.PutUint64(id[40:], ^uint64(0)) // no cookie
	return m
}

func parseDiag(m []byte) (Socket, error) {
	if len(m) < unix.NLMSG_HDRLEN+4 {
		return Socket{}, errors.New("sock_diag: the answer is too short")
	}
	body := m[unix.NLMSG_HDRLEN:]
	if binary.NativeEndian.Uint16(m[4:]) == unix.NLMSG_ERROR {
		code := -int32(binary.NativeEndian.Uint32(body))
		return Socket{}, fmt.Errorf("sock_diag: %w", unix.Errno(code))
	}
	if len(body) < diagAnswerLen {
		return Socket{}, errors.New("sock_diag: the answer is too short")
	}
	return Socket{
		State: body[1],
		UID:   binary.NativeEndian.Uint32(body[diagUIDOffset:]),
		Inode: binary.NativeEndian.Uint32(body[diagInoOffset:]),
	}, nil
}
