//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// countChildren runs a program under ptrace and counts the processes it makes: the kernel reports every fork, vfork and
// clone, and those of the last that are threads are told by their thread group. The caller must be locked to its thread.
func countChildren(binary string, args []string) (int, error) {
	cmd := exec.Command(binary, args...)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	cmd.Stdout, cmd.Stderr = null, null // a pipe's reader would be a goroutine on another thread
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return 0, err
	}
	options := unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(pid, options); err != nil {
		return 0, err
	}
	if err := unix.PtraceCont(pid, 0); err != nil {
		return 0, err
	}
	return follow(pid)
}

// follow lets everything traced run until the program ends.
func follow(pid int) (children int, err error) {
	for {
		var status unix.WaitStatus
		stopped, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return children, fmt.Errorf("waiting: %w", err)
		case stopped == pid && (status.Exited() || status.Signaled()):
			if status.ExitStatus() != 0 {
				err = fmt.Errorf("the traced run ended with %d", status.ExitStatus())
			}
			return children, err
		case !status.Stopped():
			continue
		}
		signal := 0
		switch event := status.TrapCause(); event {
		case unix.PTRACE_EVENT_FORK, unix.PTRACE_EVENT_VFORK, unix.PTRACE_EVENT_CLONE:
			if isProcess(stopped, pid) {
				children++
			}
		default:
			if s := status.StopSignal(); s != unix.SIGTRAP && s != unix.SIGSTOP {
				signal = int(s)
			}
		}
		if err := unix.PtraceCont(stopped, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			return children, err
		}
	}
}

// isProcess tells whether the task just made is a process of its own rather than a thread of pid's.
func isProcess(stopped, pid int) bool {
	made, err := unix.PtraceGetEventMsg(stopped)
	if err != nil {
		return true // counting one too many is the honest side
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", made))
	return err != nil || !strings.Contains(string(text), fmt.Sprintf("\nTgid:\t%d\n", pid))
}
