package probe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// unchanged asks setfsuid for the present value.
const unchanged = -1

// proxyOwner is the proxy as the plan knows it, nil if only by its packets' mark.
func proxyOwner(p *plan.Plan) *plan.Owner {
	switch {
	case len(p.Proxy.UIDs) > 0 && len(p.Proxy.GIDs) > 0:
		return &plan.Owner{UID: p.Proxy.UIDs[0], GID: p.Proxy.GIDs[0]}
	case len(p.Proxy.UIDs) > 0:
		return &plan.Owner{UID: p.Proxy.UIDs[0]}
	default:
		return nil
	}
}

// applications are users that an application may have and the proxy hasn't: this process's own first, for that one can
// always be probed.
func applications(p *plan.Plan) []plan.Owner {
	groups := p.Out.Owners.Groups
	if len(groups) == 0 {
		groups = []uint32{uint32(os.Getegid()), 1000, 65533}
	}
	var list []plan.Owner
	for _, uid := range []uint32{uint32(os.Geteuid()), 1000, 65533, 0} {
		for _, gid := range groups {
			if !slices.Contains(p.Proxy.UIDs, uid) && !slices.Contains(p.Proxy.GIDs, gid) {
				list = append(list, plan.Owner{UID: uid, GID: gid})
			}
		}
	}
	if len(list) == 0 { // whoever there is, is the proxy: the plan says what happens to them
		list = append(list, plan.Owner{UID: 1000, GID: 1000})
	}
	return list
}

// mayBe tries to become somebody.
func mayBe(who plan.Owner) bool { return as(who, func() error { return nil }) == nil }

// as does work under another user: rules look at the file-system ids of the thread that makes a socket.
func as(who plan.Owner, work func() error) error {
	_ = errors.Join(unix.Setfsgid(int(who.GID)), unix.Setfsuid(int(who.UID)))
	defer func() { _ = errors.Join(unix.Setfsuid(os.Geteuid()), unix.Setfsgid(os.Getegid())) }()
	uid, _ := unix.SetfsuidRetUid(unchanged)
	gid, _ := unix.SetfsgidRetGid(unchanged)
	if uid != int(who.UID) || gid != int(who.GID) {
		return fmt.Errorf("becoming user %d, group %d wants CAP_SETUID and CAP_SETGID", who.UID, who.GID)
	}
	return work()
}

// routeTo asks the kernel which way it would take: connecting a datagram socket sends nothing.
func routeTo(to netip.AddrPort) (local netip.Addr, iface string, err error) {
	fd, err := unix.Socket(familyOf(to.Addr()), unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return local, "", os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Connect(fd, sockaddr(to)); err != nil {
		return local, "", fmt.Errorf("no way to %s: %w", to.Addr(), err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return local, "", os.NewSyscallError("getsockname", err)
	}
	local = addrPort(name).Addr()
	return local, interfaceOf(to.Addr(), local), nil
}

// interfaceOf names the interface of a connection from local: lo if the other end is in this pod too.
func interfaceOf(to, local netip.Addr) string {
	if to == local || to.IsLoopback() {
		return "lo"
	}
	all, _ := net.Interfaces()
	for _, i := range all {
		assigned, _ := i.Addrs()
		for _, a := range assigned {
			prefix, err := netip.ParsePrefix(a.String())
			switch {
			case err != nil:
			case prefix.Addr() == to:
				return "lo"
			case prefix.Addr() == local:
				return i.Name
			}
		}
	}
	return "eth0"
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(name unix.Sockaddr) netip.AddrPort {
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}
