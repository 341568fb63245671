package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/test/cluster/state"
)

// initAttributes give init a session of its own, so that a Ctrl-C meant for `up` doesn't reach it, and on a node new
// network, mount and pid namespaces.
func initAttributes(apiOnly bool) *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setsid: true}
	if !apiOnly {
		attributes.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID
	}
	return attributes
}

// namespaceInode is the number of a process's network namespace, 0 if it's gone.
func namespaceInode(pid int) uint64 {
	info, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return 0
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// outsidePID is the pid here of a process that has pid inside the node, 0 if it's gone.
func outsidePID(record state.Record, inside int) int {
	if !record.Init.Alive() {
		return 0
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range processes {
		data, err := os.ReadFile(path)
		if err == nil && childOf(string(data), record.Init.PID, inside) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	return 0
}

// childOf reads PPid and the last number of NSpid, the pid in the innermost namespace.
func childOf(status string, parent, inside int) bool {
	var isChild, isInside bool
	for line := range strings.Lines(status) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		last := fields[len(fields)-1]
		switch fields[0] {
		case "PPid:":
			isChild = last == strconv.Itoa(parent)
		case "NSpid:":
			isInside = last == strconv.Itoa(inside)
		}
	}
	return isChild && isInside
}

// snapshotterFor: overlayfs doesn't work on top of itself.
func snapshotterFor(dir state.Dir) string {
	var disk unix.Statfs_t
	if err := unix.Statfs(string(dir), &disk); err == nil && disk.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native"
	}
	return "overlayfs"
}
