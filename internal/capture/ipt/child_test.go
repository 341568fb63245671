//go:build linux

package ipt

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExec(t *testing.T) {
	run := Exec(true)
	if out, err := run("/bin/cat", nil, "a\nb\n"); out != "a\nb\n" || err != nil {
		t.Errorf("cat: %q, %v", out, err)
	}
	if out, err := run("/bin/sh", []string{"-c", "echo $XTABLES_LOCKFILE"}, ""); out != privateLock+"\n" || err != nil {
		t.Errorf("the lock: %q, %v", out, err)
	}
	var exit ExitError
	_, err := run("/bin/sh", []string{"-c", "echo it is; echo broken >&2; exit 3"}, "")
	if !errors.As(err, &exit) || exit != 3 || !strings.HasSuffix(err.Error(), "exit status 3: broken") {
		t.Errorf("exit 3: %v", err)
	}
	if _, err := run("/bin/sh", []string{"-c", "kill -9 $$"}, ""); err == nil || !strings.Contains(err.Error(), "ended by signal killed") {
		t.Errorf("killed: %v", err)
	}
	if _, err := run("/nowhere/iptables-save", nil, ""); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no program: %v", err)
	}
	if got := firstLines(strings.Repeat("no ", 1000)); len(got) != 500 {
		t.Errorf("%d bytes of a complaint", len(got))
	}
}

// Kernels before 5.3 have no file that tells a program's end; both ways see it, and end what takes too long.
func TestReap(t *testing.T) {
	for name, watched := range map[string]bool{"watched": true, "looked at": false} {
		t.Run(name, func(t *testing.T) {
			pid, end := startShell(t, watched, "exit 5")
			if status, err := reap(pid, end, time.Minute); err != nil || status.late || status.ExitStatus() != 5 {
				t.Errorf("%+v, %v", status, err)
			}
			pid, end = startShell(t, watched, "exec sleep 600")
			if status, err := reap(pid, end, 10*time.Millisecond); err != nil || !status.late || !status.Signaled() {
				t.Errorf("too slow: %+v, %v", status, err)
			}
		})
	}
}

// startShell starts a line of shell; end is the file of its end, -1 unless it is to be watched.
func startShell(t *testing.T, watched bool, line string) (pid, end int) {
	t.Helper()
	end = -1
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", line}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{PidFD: &end}})
	if err != nil {
		t.Fatal(err)
	}
	if !watched && end >= 0 {
		_ = syscall.Close(end)
		return pid, -1
	}
	if watched && end < 0 {
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		t.Skip("this kernel has no pidfd (5.3)")
	}
	return pid, end
}
