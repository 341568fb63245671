package state

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Process is a process and its start time. The start time is part of the identity: pids are used again, and a pid that
// started at another time isn't ours and is never signalled.
type Process struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // opaque; ticks since boot on Linux
}

// Identify returns the identity of the process that has pid now.
func Identify(pid int) (Process, error) {
	start, _, err := startTime(pid)
	if err != nil {
		return Process{}, fmt.Errorf("identifying process %d: %w", pid, err)
	}
	return Process{PID: pid, Start: start}, nil
}

// Alive is true while this very process runs; a zombie doesn't.
func (p Process) Alive() bool {
	if p.PID <= 0 || p.Start == "" {
		return false
	}
	start, zombie, err := startTime(p.PID)
	return err == nil && !zombie && start == p.Start
}

// Signal sends sig to this very process, and does nothing if it's gone.
func (p Process) Signal(sig syscall.Signal) error {
	if p.PID <= 1 {
		return nil
	}
	// FindProcess first: on Linux it holds a pidfd, so the pid can't be used again between the check and the signal.
	process, err := os.FindProcess(p.PID)
	if err != nil {
		return nil
	}
	defer func() { _ = process.Release() }()
	if !p.Alive() {
		return nil
	}
	if err := process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling process %d: %w", p.PID, err)
	}
	return nil
}

// Kill ends the process and waits up to timeout until it's gone.
func (p Process) Kill(timeout time.Duration) error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	for end := time.Now().Add(timeout); p.Alive(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("process %d doesn't go away after SIGKILL", p.PID)
		}
	}
	return nil
}
