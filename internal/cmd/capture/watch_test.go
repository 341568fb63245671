//go:build linux

package capture

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

// A process that watches: a line at the start, one a repair, one at the end.
func TestWatch(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft isn't installed")
	}
	pod := nstest.NewPod(t)
	cmd := exec.Command(self, strings.Fields("watch "+line)...)
	cmd.Env = []string{childMark + "=yes"}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	pod.Must(t, cmd.Start)
	defer func() { _ = cmd.Process.Kill() }()
	lines := bufio.NewScanner(stderr)
	next := func() (e capture.Evidence) {
		lines.Scan()
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		return e
	}
	if e := next(); e.Result != "applied" || e.Rules == 0 {
		t.Errorf("first line: %+v", e)
	}
	pod.Must(t, func() error { return exec.Command("nft", "delete", "table", "inet", "pillion").Run() })
	if e := next(); e.Result != "repaired" || e.Changed == 0 || len(e.Warnings) != 10 || !strings.HasPrefix(e.Warnings[0], "missing chain") {
		t.Errorf("second line: %+v", e)
	}
	pod.Must(t, func() error { call("verify "+line).expect(t, "verify", 0, "verified"); return nil })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := next(); e.Result != "watched" {
		t.Errorf("last line: %+v", e)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestWatchLeavesTheRecordOfItsStart(t *testing.T) {
	folder := t.TempDir()
	ns := nstest.New(t)
	ns.Must(t, func() error {
		call("watch -i * -b * --record "+folder).expect(t, "a folder as record", 1, "applied", "the rules are in force, but")
		return nil
	})
	if _, err := os.Stat(folder); err != nil {
		t.Error(err)
	}
}
