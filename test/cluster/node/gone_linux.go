package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// WaitEmpty waits until no process is in the network namespace with that inode. 0 is no namespace.
func WaitEmpty(ctx context.Context, inode uint64, timeout time.Duration) error {
	if inode == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for inhabited(inode) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until the node's processes are gone: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func inhabited(inode uint64) bool {
	namespaces, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range namespaces {
		info, err := os.Stat(path)
		if err == nil && info.Sys().(*syscall.Stat_t).Ino == inode {
			return true
		}
	}
	return false
}

const cgroups = "/sys/fs/cgroup"

// RemoveCgroups removes the cgroup folders of containers whose ids containerd's root folder knows; the kernel doesn't.
// Only ours, only empty ones, and the parent k8s.io if nobody else has any in it.
func RemoveCgroups(containerdRoot string) error {
	for _, id := range containerIDs(containerdRoot) {
		for _, folder := range cgroupFolders(id) {
			if err := removeEmpty(folder); err != nil {
				return err
			}
		}
	}
	for _, parent := range cgroupFolders("") {
		if err := removeEmpty(parent); err != nil {
			return err
		}
	}
	return nil
}

// cgroupFolders are the places below every version 1 controller, or the one of version 2.
func cgroupFolders(id string) []string {
	v1, _ := filepath.Glob(filepath.Join(cgroups, "*", "k8s.io", id))
	v2, _ := filepath.Glob(filepath.Join(cgroups, "k8s.io", id))
	return append(v1, v2...)
}

// containerIDs are of the containers and pod sandboxes containerd still has.
func containerIDs(root string) []string {
	id := regexp.MustCompile(`^[0-9a-f]{64}$`)
	folders, _ := filepath.Glob(filepath.Join(root, "io.containerd.*", "k8s.io", "*"))
	cri, _ := filepath.Glob(filepath.Join(root, "io.containerd.grpc.v1.cri", "*", "*"))
	var ids []string
	for _, folder := range append(folders, cri...) {
		if id.MatchString(filepath.Base(folder)) {
			ids = append(ids, filepath.Base(folder))
		}
	}
	return ids
}

// removeEmpty: what's in use or gone is left alone. A cgroup whose last process just ended may be busy for a moment.
func removeEmpty(folder string) error {
	var err error
	for range 50 {
		err = os.Remove(folder)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || populated(folder) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return fmt.Errorf("removing a cgroup folder: %w", err)
}

func populated(folder string) bool {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.IsDir() {
			return true
		}
	}
	processes, err := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
	return err == nil && len(processes) > 0
}
