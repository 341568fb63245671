//go:build linux

package ipt

import (
	"errors"
	"strings"
	"testing"
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
