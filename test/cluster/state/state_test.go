package state

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRecordSurvives(t *testing.T) {
	dir := testDir(t, "a")
	if _, err := dir.Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("reading nothing: %v", err)
	}
	if err := dir.Create(); err != nil {
		t.Fatal(err)
	}
	want := Record{Name: "a", Init: Process{PID: 4711, Start: "12"}, NetNS: 9, Ready: true, Started: time.Unix(5, 0).UTC()}
	if err := dir.Write(want); err != nil {
		t.Fatal(err)
	}
	if got, err := dir.Read(); err != nil || got != want {
		t.Errorf("read %+v, %v; wrote %+v", got, err, want)
	}
	if err := os.WriteFile(dir.Path("state.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Read(); err == nil || !strings.Contains(err.Error(), dir.Path("state.json")) {
		t.Errorf("a broken file gives %v, which doesn't name it", err)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", "../x", "A", "a/b", "-a", "a-", strings.Repeat("a", 41)} {
		if _, err := For(name); err == nil {
			t.Errorf("name %q is accepted", name)
		}
	}
	for _, name := range []string{"a", "node", "api-controllers", strings.Repeat("a", 40)} {
		if _, err := For(name); err != nil {
			t.Error(err)
		}
	}
}

func TestAllFindsFoldersAndLocks(t *testing.T) {
	one := testDir(t, "one")
	if err := one.Create(); err != nil {
		t.Fatal(err)
	}
	two, err := For("two")
	if err != nil {
		t.Fatal(err)
	}
	lock, err := two.Change(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if names, err := All(); err != nil || strings.Join(names, " ") != "one two" {
		t.Errorf("found %q, %v", names, err)
	}
	lock.Remove()
	if names, err := All(); err != nil || strings.Join(names, " ") != "one" {
		t.Errorf("found %q, %v", names, err)
	}
}

// A pid that was used again belongs to somebody else.
func TestAnotherProcessIsNeverSignalled(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = child.Process.Kill(), child.Wait() }()
	own, err := Identify(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	stale := Process{PID: own.PID, Start: own.Start + "1"}
	if stale.Alive() {
		t.Error("a process with another start time counts as ours")
	}
	if err := stale.Kill(time.Second); err != nil {
		t.Error(err)
	}
	if !own.Alive() {
		t.Fatal("a process with another start time was killed")
	}
	done := make(chan error)
	go func() { done <- own.Kill(5 * time.Second) }()
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("our own process wasn't killed: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if own.Alive() {
		t.Error("a dead process counts as alive")
	}
}

func TestZombieIsntAlive(t *testing.T) {
	child := exec.Command("true")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	own, err := Identify(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	// Not waited for, so it stays as a zombie.
	for end := time.Now().Add(5 * time.Second); own.Alive(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a zombie counts as alive")
		}
	}
	_ = child.Wait()
}

func TestLastUser(t *testing.T) {
	dir := testDir(t, "shared")
	one, err := dir.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	two, err := dir.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if one.Last() {
		t.Error("one of two users counts as the last")
	}
	one.Release()
	if !two.Last() {
		t.Error("the only user doesn't count as the last")
	}
	two.Remove()
	if names, _ := All(); len(names) > 0 {
		t.Errorf("left: %q", names)
	}
}

// Whoever waits for a lock whose file is removed meanwhile must not get a lock on a file nobody else sees.
func TestRemovedLockIsTakenAnew(t *testing.T) {
	dir := testDir(t, "x")
	first, err := dir.Change(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *Lock)
	go func() {
		second, err := dir.Change(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- second
	}()
	first.Remove()
	second := <-got
	defer second.Remove()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if third, err := dir.Change(ctx); err == nil {
		third.Release()
		t.Error("two hold the same lock")
	}
}

func TestWaitForLockEnds(t *testing.T) {
	dir := testDir(t, "x")
	held, err := dir.Change(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Remove()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dir.Change(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTheFolderOfClustersIsMade(t *testing.T) {
	t.Setenv(BaseEnv, filepath.Join(t.TempDir(), "not", "yet"))
	dir, err := For("x")
	if err != nil {
		t.Fatal(err)
	}
	lock, err := dir.Change(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lock.Remove()
}

func testDir(t *testing.T, name string) Dir {
	t.Helper()
	t.Setenv(BaseEnv, t.TempDir())
	dir, err := For(name)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
