//go:build linux

package nstest

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// The limits here hold for the calling thread and the processes it starts, for good: call them on a thread of
// Namespace.Thread.

// KeepOnly takes every capability but these from the programs the thread starts, as a container without others has it.
func KeepOnly(capabilities ...uintptr) error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if slices.Contains(capabilities, c) {
			continue
		}
		// A kernel older than these headers doesn't know the last ones.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, syscall.EINVAL) {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	return nil
}

// ReadOnlyRoot makes every file system read-only.
func ReadOnlyRoot() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare(CLONE_NEWNS): %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts to ourselves: %w", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("making / read-only: %w", err)
	}
	return nil
}

// Chroot makes a folder all there is.
func Chroot(folder string) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare(CLONE_FS): %w", err)
	}
	return os.NewSyscallError("chroot", errors.Join(unix.Chroot(folder), unix.Chdir("/")))
}

// DenyPrograms makes execve and execveat fail.
func DenyPrograms() error {
	return deny([]unix.SockFilter{
		load(0), unless(unix.SYS_EXECVE, 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(syscall.EACCES)},
		unless(unix.SYS_EXECVEAT, 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(syscall.EACCES)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	})
}
