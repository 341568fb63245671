package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/cluster/state"
)

func TestExitCodes(t *testing.T) {
	for code, err := range map[int]error{
		0:  nil,
		1:  errors.New("other"),
		64: usageError{errors.New("flag")},
		69: fmt.Errorf("up: %w", &binary.Missing{Programs: []string{"etcd"}, Packages: []string{"etcd-server"}}),
		77: fmt.Errorf("up: %w", cluster.ErrNeedsRoot),
	} {
		if got := exitCode(err); got != code {
			t.Errorf("%v gives %d, want %d", err, got, code)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"bogus"}, {"up", "x"}, {"up", "--bogus"}, {"up", "--with", "bogus"}, {"exec"}, {"logs", "a", "b"}, {"status", "-o", "xml"}} {
		command := root()
		command.SetArgs(args)
		command.SetOut(io.Discard)
		command.SetErr(io.Discard)
		if got := exitCode(command.Execute()); got != exitUsage {
			t.Errorf("cluster %q exits with %d, want %d", args, got, exitUsage)
		}
	}
}

func TestNothingRuns(t *testing.T) {
	t.Setenv(state.BaseEnv, t.TempDir())
	for _, args := range [][]string{{"kubeconfig"}, {"load-image", "x"}, {"exec", "--", "true"}, {"status"}, {"logs"}} {
		command := root()
		command.SetArgs(args)
		if err := command.Execute(); !errors.Is(err, cluster.ErrNotRunning) {
			t.Errorf("cluster %q says %v", args, err)
		}
	}
	for _, args := range [][]string{{"down"}, {"clean"}} {
		command := root()
		command.SetArgs(args)
		if err := command.Execute(); err != nil {
			t.Errorf("cluster %q says %v", args, err)
		}
	}
}

func TestPrintStatus(t *testing.T) {
	var out bytes.Buffer
	err := printStatus(&out, cluster.Status{Name: "node", Running: true, Server: "https://x", Folder: "/f", FreeMB: 7,
		Components: []cluster.ComponentStatus{{Name: "etcd", PID: 12, AgeSeconds: 65, MemoryMB: 44, LastLine: "ready"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cluster node: running true, https://x", "7 MB free", "etcd       12   1m5s  44 MB   ready"} {
		if !bytes.Contains(out.Bytes(), []byte(want)) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}
