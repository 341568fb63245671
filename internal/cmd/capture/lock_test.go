//go:build linux

package capture

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

const cni = "--cni-mode --force-iptables-binary legacy " + line

// held locks a file as iptables does.
func held(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return f, errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_EX))
}

// awaited tells whether somebody waits for a lock on the file: /proc/locks lists waiters with an arrow.
func awaited(f *os.File) (bool, error) {
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return false, err
	}
	text, err := os.ReadFile("/proc/locks")
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "->") && strings.Contains(line, fmt.Sprintf(":%d ", s.Ino)) {
			return true, nil
		}
	}
	return false, err
}

// With --cni-mode two runs in one pod take turns: the second one waits for the pod's lock, and is done once it is free.
func TestRunsInOnePodTakeTurns(t *testing.T) {
	needIptables(t)
	pod := nstest.NewPod(t)
	var lock *os.File
	pod.Must(t, func() (err error) {
		lock, err = held("/proc/thread-self/ns/net")
		return err
	})
	var first, second outcome
	ended := []<-chan error{
		pod.Thread(func() error { first = call(cni); return nil }),
		pod.Thread(func() error { second = call(cni); return nil }),
	}
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		waits, err := awaited(lock)
		if err != nil || time.Now().After(until) {
			t.Errorf("nobody waits for the pod's lock: %v", err)
			break
		}
		if waits {
			break
		}
	}
	pod.Must(t, func() error {
		if hasOurs(listing(t, "nft")) || strings.Contains(legacyTables(t), "nat") {
			t.Error("rules were written past the lock")
		}
		return lock.Close()
	})
	for _, end := range ended {
		if err := <-end; err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []outcome{first, second} {
		if o.code != 0 {
			t.Errorf("exit %d\n%s", o.code, o.stderr)
		}
	}
	pod.Must(t, func() error {
		call("verify "+cni).expect(t, "verify", 0, "verified")
		return nil
	})
}

func legacyTables(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	return string(text)
}

// With --cni-mode nobody waits for another pod, nor for who holds the machine's lock.
func TestOtherLocksDontMatterToAPod(t *testing.T) {
	needIptables(t)
	pod, other := nstest.NewPod(t), nstest.New(t)
	var lock *os.File
	other.Must(t, func() (err error) {
		lock, err = held("/proc/thread-self/ns/net")
		return err
	})
	defer func() { _ = lock.Close() }()
	err := <-pod.Thread(func() error {
		machine, err := machinesLock()
		if err != nil {
			return err
		}
		defer func() { _ = machine.Close() }()
		process(self, cni, nil).expect(t, "beside the lock", 0, "applied")
		process(self, "verify "+cni, nil).expect(t, "beside the lock", 0, "verified")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// machinesLock holds what looks like the machine's lock to the programs that the calling thread starts.
func machinesLock() (*os.File, error) {
	err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", "/run", "tmpfs", 0, ""))
	if err != nil {
		return nil, err
	}
	const path = "/run/xtables.lock"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return nil, err
	}
	return held(path)
}
