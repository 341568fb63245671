package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asHelper makes the test binary another program; its value says which.
const asHelper = "PILLION_TEST_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(asHelper) {
	case "":
		os.Exit(m.Run())
	case "init":
		os.Exit(beInit())
	case "parent": // leaves an orphan that ends by itself
		_ = os.Setenv(asHelper, "exit")
		_, err := os.StartProcess("/proc/self/exe", []string{"orphan"}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
		if err != nil {
			os.Exit(9)
		}
		os.Exit(3)
	}
	os.Exit(0)
}

// beInit is PID 1 of a PID namespace: it starts a child that leaves an orphan, and waits for both.
func beInit() int {
	if os.Getpid() != 1 {
		return 10
	}
	r := NewReaper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go r.Run(ctx)
	env := []string{asHelper + "=parent"}
	_, exited, err := r.Start("/proc/self/exe", []string{"parent"}, &syscall.ProcAttr{Env: env, Files: []uintptr{0, 1, 2}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 11
	}
	if exit := <-exited; exit.Code != 3 || exit.Signal != 0 {
		fmt.Fprintln(os.Stderr, exit)
		return 12
	}
	for r.Orphans() != 1 {
		if ctx.Err() != nil {
			return 13
		}
		time.Sleep(time.Millisecond)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid > 0 || !errors.Is(err, unix.ECHILD) {
		return 14 // a zombie is left
	}
	return 0
}

func TestReapsOrphansAsPID1(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{asHelper + "=init"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) {
		if os.Getenv("PILLION_REQUIRE_NETNS") != "" {
			t.Fatalf("PILLION_REQUIRE_NETNS is set, but: %v", err)
		}
		t.Skipf("no PID namespace of our own, needs root: %v", err)
	}
	if err != nil {
		t.Fatalf("PID 1: %v\n%s", err, out)
	}
}

func TestSignalOnlyOurs(t *testing.T) {
	if err := NewReaper().Signal(os.Getpid(), syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a process that is no child got a signal: %v", err)
	}
}

func TestExitString(t *testing.T) {
	if got := (Exit{Code: -1, Signal: syscall.SIGKILL}).String(); got != "killed by SIGKILL" {
		t.Error(got)
	}
	if got := (Exit{Code: 70}).String(); got != "exit code 70" {
		t.Error(got)
	}
}
