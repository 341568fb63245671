package node

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// hidden are folders the node has to itself: sockets and network namespaces in /run, address allocations of network
// plugins and device plugins' sockets in /var/lib, links to pod logs in /var/log.
func hidden() []string { return []string{"/run", "/var/lib", "/var/log"} }

// Mount makes the process's mount namespace private and gives it its own /proc and empty folders where components would
// otherwise write into the machine's. /sys stays: a new one would hide the cgroups.
func Mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, path := range hidden() {
		if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
			return fmt.Errorf("mounting a tmpfs on %s: %w", path, err)
		}
	}
	for _, path := range []string{"/run/netns", "/run/lock", "/run/containerd/tunables", "/var/lib/cni", "/var/log/containers"} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", path, err)
		}
	}
	return pretendTunables("/run/containerd/tunables")
}

// tunables are the kernel settings the kubelet insists on. They belong to the whole machine, so it mustn't write them.
func tunables() map[string]string {
	return map[string]string{
		"/proc/sys/vm/overcommit_memory":      "1",
		"/proc/sys/vm/panic_on_oom":           "0",
		"/proc/sys/kernel/panic":              "10",
		"/proc/sys/kernel/panic_on_oops":      "1",
		"/proc/sys/kernel/keys/root_maxkeys":  "1000000",
		"/proc/sys/kernel/keys/root_maxbytes": "25000000",
	}
}

// pretendTunables shows the node a file of its own in each one's place, which holds what the kubelet wants to see.
func pretendTunables(folder string) error {
	for path, value := range tunables() {
		if _, err := os.Stat(path); err != nil {
			continue // this kernel has none, and the kubelet says so
		}
		file := filepath.Join(folder, filepath.Base(path))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
			return fmt.Errorf("pretending %s: %w", path, err)
		}
		if err := unix.Mount(file, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("pretending %s: %w", path, err)
		}
	}
	return nil
}
