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

// A process that watches: a line at the start, one a repair, one at the end. Of iptables' own side the kernel tells
// nothing, so that it is looked at from time to time.
func TestWatch(t *testing.T) {
	needIptables(t)
	for _, c := range []struct{ backend, edit, found string }{
		{"nftables", "nft delete table inet pillion", "missing chain"},
		{"iptables --force-iptables-binary nft", "iptables-nft -t nat -F ISTIO_OUTPUT", "missing rule"},
		{"iptables --force-iptables-binary legacy", "iptables-legacy -t nat -F ISTIO_OUTPUT", "missing rule"},
	} {
		t.Run(c.backend, func(t *testing.T) { watches(t, line+" --backend "+c.backend, c.edit, c.found) })
	}
}

func watches(t *testing.T, line, edit, found string) {
	pod := nstest.NewPod(t)
	cmd := exec.Command(self, strings.Fields("watch "+line)...)
	cmd.Env = []string{childMark + "=yes", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
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
	pod.Must(t, func() error { return shell(edit) })
	if e := next(); e.Result != "repaired" || e.Changed == 0 || len(e.Warnings) > 10 || !strings.HasPrefix(e.Warnings[0], found) {
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
