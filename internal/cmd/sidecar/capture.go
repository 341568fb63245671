package sidecar

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// captureProgram is a program of its own, the smallest, because it holds NET_ADMIN: linked here too, it would be in the
// image twice.
const captureProgram = "pillion-capture"

// runCapture becomes that program, for people and for templates that call this one. It returns only when it can't.
func runCapture(args []string, p Process) int {
	program, err := findCapture()
	if err == nil {
		err = syscall.Exec(program, append([]string{captureProgram}, args...), p.Environ) //nolint:gosec // our own program
	}
	fmt.Fprintf(p.Stderr, "pillion-sidecar: capture runs %s, which lies beside this program in our images: %v\n", captureProgram, err)
	return 1
}

// findCapture looks beside this program, then in PATH.
func findCapture() (string, error) {
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), captureProgram)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	return exec.LookPath(captureProgram)
}
