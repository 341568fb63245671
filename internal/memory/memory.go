// Package memory gives back what a process needed only for its start. Nothing comes in; the system gets the garbage of
// the heap, and the pages of the program's own file, which were read once: descriptors of protobuf messages are half of
// them. Release is all there is; maps.go reads which pages these are.
package memory

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// settle is how long what comes after the start may go on.
const settle = 2 * time.Second

// ReleaseAfter calls Release once, a while after started is closed, or from now if it is nil, unless ctx ends before.
// It returns then.
func ReleaseAfter(ctx context.Context, started <-chan struct{}) {
	if started != nil {
		select {
		case <-started:
		case <-ctx.Done():
			return
		}
	}
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-timer.C:
		Release()
	case <-ctx.Done():
	}
}

// Release costs a garbage collection, and for each page of the program that is needed again a fault of about a
// microsecond, as long as the page is in the system's cache; there it stays as it would have without us, but isn't ours
// any more. Where the system doesn't tell or doesn't listen nothing happens.
func Release() {
	debug.FreeOSMemory()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	for _, r := range untouched(maps, program) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, r.start, r.end-r.start, unix.MADV_DONTNEED)
	}
}
