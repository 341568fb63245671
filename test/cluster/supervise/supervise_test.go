package supervise

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// All of it in one test: a group reaps every child of the process, so two at a time would take each other's.
func TestGroup(t *testing.T) {
	folder := t.TempDir()
	g := NewGroup(func(name string) string { return filepath.Join(folder, name+".log") })
	shell := func(name, script string) Command {
		return Command{Name: name, Path: "/bin/sh", Args: []string{"-c", script}}
	}

	if err := g.Run(shell("fine", "echo yes")); err != nil {
		t.Error(err)
	}
	if got := LastLines(filepath.Join(folder, "fine.log"), 1); got != "yes" {
		t.Errorf("the log holds %q", got)
	}
	if err := g.Run(shell("broken", "echo why; exit 3")); err == nil || !strings.Contains(err.Error(), "code 3") || !strings.Contains(err.Error(), "why") {
		t.Errorf("a program that failed gives %v", err)
	}
	if _, err := g.Start(Command{Name: "none", Path: "/does/not/exist"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that isn't there gives %v", err)
	}
	long, err := g.Start(shell("long", "exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	checkWait(t, g, long)
	short, err := g.Start(shell("short", "echo that is why; exit 7"))
	if err != nil {
		t.Fatal(err)
	}
	<-short.Exited()
	checkExit(t, g, long)
	g.Stop()
	select {
	case <-long.Exited():
	default:
		t.Error("Stop returned while a child was running")
	}
}

func checkWait(t *testing.T, g *Group, p *Process) {
	t.Helper()
	asked := 0
	err := g.Wait(t.Context(), "the third time", p, func(string) {}, func(context.Context) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || asked != 3 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("took too long"))
	defer cancel()
	err = g.Wait(ctx, "never", p, func(string) {}, func(context.Context) error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "never") || !strings.Contains(err.Error(), "took too long") || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("a wait that took too long gives %v", err)
	}
}

// checkExit: any component's end is the end of every wait.
func checkExit(t *testing.T, g *Group, waitedFor *Process) {
	t.Helper()
	err := g.Wait(t.Context(), "never", waitedFor, func(string) {}, func(context.Context) error { return errors.New("not yet") })
	var exit *Exit
	if !errors.As(err, &exit) || exit.Name != "short" || !strings.Contains(exit.Error(), "code 7") || exit.Last != "that is why" {
		t.Errorf("got %v", err)
	}
}

func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if got := LastLines(path, 3); got != "" {
		t.Errorf("a file that isn't there gives %q", got)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 20<<10)+"\na\nb\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := LastLines(path, 2); got != "b\nc" {
		t.Errorf("got %q", got)
	}
}
