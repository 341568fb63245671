package operatortest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Terminate is what the kubelet does first.
func (r *Replica) Terminate() { _ = r.cmd.Process.Signal(syscall.SIGTERM) }

// Kill ends the whole replica as a node's death does: parent and worker.
func (r *Replica) Kill() {
	r.whole(syscall.SIGKILL)
	<-r.ended
}

// Pause stops the whole replica without a word, as a frozen node does: its sockets stay open.
func (r *Replica) Pause() { r.whole(syscall.SIGSTOP) }

// Resume has a paused replica go on.
func (r *Replica) Resume() { r.whole(syscall.SIGCONT) }

func (r *Replica) whole(signal syscall.Signal) { _ = syscall.Kill(-r.cmd.Process.Pid, signal) }

// Crash kills the process that does the work, as running out of memory does.
func (r *Replica) Crash(t *testing.T) {
	t.Helper()
	r.worker(t, syscall.SIGKILL)
}

// PauseWorker stops the process that does the work, as a deadlock would.
func (r *Replica) PauseWorker(t *testing.T) {
	t.Helper()
	r.worker(t, syscall.SIGSTOP)
}

// ResumeWorker has it go on.
func (r *Replica) ResumeWorker(t *testing.T) {
	t.Helper()
	r.worker(t, syscall.SIGCONT)
}

// worker signals the only child of the process that was started.
func (r *Replica) worker(t *testing.T, signal syscall.Signal) {
	t.Helper()
	var children string
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.cmd.Process.Pid))
	Must(t, err)
	for _, thread := range threads {
		some, err := os.ReadFile(thread)
		Must(t, err)
		children += string(some)
	}
	if len(threads) == 0 {
		t.Skip("skipped, the kernel doesn't list a process's children")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(children))
	if err != nil {
		t.Fatalf("replica %s has no single child: %q", r.Name, children)
	}
	Must(t, syscall.Kill(pid, signal))
}
