package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit is how a child ended.
type Exit struct {
	Code   int            // -1 if a signal ended it
	Signal syscall.Signal // 0 if it exited
}

// String is what a person reads in a log.
func (e Exit) String() string {
	if e.Signal != 0 {
		return "killed by " + unix.SignalName(e.Signal)
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// Reaper starts processes and waits for them, and for every orphan the kernel hands to PID 1. Nothing else in the
// process may wait for children.
type Reaper struct {
	orphans atomic.Uint64

	mu       sync.Mutex // also held while forking, so that no child is reaped before it is known
	children map[int]chan Exit
}

// NewReaper returns a Reaper whose Run must be called.
func NewReaper() *Reaper { return &Reaper{children: map[int]chan Exit{}} }

// Orphans is how many processes were reaped that were not started here.
func (r *Reaper) Orphans() uint64 { return r.orphans.Load() }

// Run reaps until ctx ends.
func (r *Reaper) Run(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	defer signal.Stop(died)
	for {
		r.reap()
		select {
		case <-ctx.Done():
			return
		case <-died:
		}
	}
}

func (r *Reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || pid <= 0:
			return
		default:
			r.deliver(pid, status)
		}
	}
}

func (r *Reaper) deliver(pid int, status unix.WaitStatus) {
	exited, ours := r.children[pid]
	if !ours {
		r.orphans.Add(1)
		return
	}
	delete(r.children, pid)
	exit := Exit{Code: status.ExitStatus()}
	if status.Signaled() {
		exit = Exit{Code: -1, Signal: status.Signal()}
	}
	exited <- exit
}

// Start forks and returns the child's PID and where its exit will be told, once.
func (r *Reaper) Start(path string, args []string, attr *syscall.ProcAttr) (int, <-chan Exit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, args, attr)
	if err != nil {
		return 0, nil, fmt.Errorf("starting %s: %w", path, err)
	}
	exited := make(chan Exit, 1)
	r.children[pid] = exited
	return pid, exited, nil
}

// Signal sends a signal to a child that has not been reaped, so that the PID can't be somebody else's.
func (r *Reaper) Signal(pid int, sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ours := r.children[pid]; !ours {
		return os.ErrProcessDone
	}
	return unix.Kill(pid, sig)
}
