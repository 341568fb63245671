//go:build linux

package nstest

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DropNetAdmin takes CAP_NET_ADMIN from the calling thread, for good: call it on a thread of Namespace.Thread.
func DropNetAdmin() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("reading capabilities: %w", err)
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	data[0].Permitted &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("dropping CAP_NET_ADMIN: %w", err)
	}
	return nil
}

// DenyNetfilterSockets makes socket(AF_NETLINK, _, NETLINK_NETFILTER) fail on the calling thread, for good: to capture
// the kernel looks like one without nftables.
func DenyNetfilterSockets(errno syscall.Errno) error {
	// struct seccomp_data: nr at 0, arguments of 64 bits from 16 on.
	return deny([]unix.SockFilter{
		load(0), unless(unix.SYS_SOCKET, 5),
		load(argument(0)), unless(unix.AF_NETLINK, 3),
		load(argument(2)), unless(unix.NETLINK_NETFILTER, 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	})
}

// deny installs a seccomp filter.
func deny(filter []unix.SockFilter) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, failed := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if failed != 0 {
		return fmt.Errorf("installing a seccomp filter: %w", failed)
	}
	return nil
}

// argument is the offset of a system call's argument's low half; the machines we run on are little-endian.
func argument(n uint32) uint32 { return 16 + 8*n }

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// unless skips instructions if the loaded value is another.
func unless(value uint32, skip uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: skip}
}
