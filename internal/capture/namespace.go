package capture

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// threadNamespace is the calling thread's network namespace. /proc/self would be the main thread's.
const threadNamespace = "/proc/thread-self/ns/net"

// In runs work in the network namespace at path, on a thread of its own that ends with it. "" is the namespace we're
// in: then work runs right here, for switching threads costs more than all of work.
func In(path string, work func() error) error {
	if path == "" {
		return work()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread mustn't go back to the pool in another namespace
		if err := enter(path); err != nil {
			done <- err
			return
		}
		done <- work()
	}()
	return <-done
}

func enter(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening network namespace: %w", err)
	}
	defer f.Close()
	if here, err := os.Stat(threadNamespace); err == nil {
		if there, err := f.Stat(); err == nil && os.SameFile(here, there) {
			return nil
		}
	}
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering network namespace %s (needs CAP_SYS_ADMIN): %w", path, err)
	}
	return nil
}

// LegacyTables are the tables of iptables' own kernel side in the calling thread's namespace.
func LegacyTables() []string {
	var tables []string
	for _, family := range []string{"ip", "ip6"} {
		for _, name := range strings.Fields(proc("/proc/thread-self/net/" + family + "_tables_names")) {
			tables = append(tables, family+" "+name)
		}
	}
	return tables
}

// proc reads a small file of the kernel's; "" if it can't be read, as where the module isn't loaded. os.ReadFile would
// wait for it by epoll: ten system calls for a line.
func proc(path string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }()
	buffer := make([]byte, 512)
	n, err := unix.Read(fd, buffer)
	if err != nil {
		return ""
	}
	return string(buffer[:n])
}
