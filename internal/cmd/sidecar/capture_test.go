package sidecar

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestCaptureIsAnotherProgram: beside this one, or in PATH; its exit code and output are what people get.
func TestCaptureIsAnotherProgram(t *testing.T) {
	beside, path := t.TempDir(), t.TempDir()
	alone := filepath.Join(t.TempDir(), "pillion-sidecar")
	for _, program := range []string{filepath.Join(beside, "pillion-sidecar"), alone} {
		copyProgram(t, program)
	}
	for folder, name := range map[string]string{beside: "beside", path: "path"} {
		script := "#!/bin/sh\necho " + name + " $0 $*; exit 3\n"
		if err := os.WriteFile(filepath.Join(folder, captureProgram), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		program, path, says string
		code                int
	}{
		{filepath.Join(beside, "pillion-sidecar"), path, "beside " + beside + "/pillion-capture explain -x", 3},
		{alone, path, "path " + path + "/pillion-capture explain -x", 3},
		{alone, "", "capture runs pillion-capture", 1},
	} {
		cmd := exec.Command(c.program, "capture", "explain", "-x")
		cmd.Env = []string{asSidecar + "=1", quickExit, "PATH=" + c.path}
		out, err := cmd.CombinedOutput()
		exit, _ := errors.AsType[*exec.ExitError](err)
		if exit == nil || exit.ExitCode() != c.code || !bytes.Contains(out, []byte(c.says)) {
			t.Errorf("%s with PATH %q: %v, %q; want %d, %q", c.program, c.path, err, out, c.code, c.says)
		}
	}
}

func copyProgram(t *testing.T, to string) {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	file, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(file, from); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
