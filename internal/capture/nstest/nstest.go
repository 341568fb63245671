//go:build linux

// Package nstest gives tests network namespaces of their own: a pod with a peer on the other end of two cables, and
// sockets of any owner in them. Nothing here touches the namespace the test started in, and everything vanishes with the
// threads that hold it, also after a panic. Read nstest.go, then pod.go.
package nstest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

const threadNamespace = "/proc/thread-self/ns/net"

// Namespace is a network namespace and the thread that works in it.
type Namespace struct {
	handle *os.File
	jobs   chan func()
}

// New makes a namespace that lasts as long as the test. Without the right to make one the test is skipped, or fails if
// PILLION_REQUIRE_NETNS is set.
func New(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{jobs: make(chan func())}
	ready, ended := make(chan error), make(chan struct{})
	go n.serve(ready, ended)
	if err := <-ready; err != nil {
		if os.Getenv("PILLION_REQUIRE_NETNS") != "" {
			t.Fatalf("PILLION_REQUIRE_NETNS is set, but: %v", err)
		}
		t.Skipf("no network namespace of our own: %v", err)
	}
	t.Cleanup(func() {
		close(n.jobs)
		<-ended
		n.handle.Close()
	})
	return n
}

// serve runs jobs on one thread, which is never given back: the runtime ends it with the goroutine.
func (n *Namespace) serve(ready chan<- error, ended chan<- struct{}) {
	defer close(ended)
	runtime.LockOSThread()
	err := n.enter()
	ready <- err
	if err != nil {
		return
	}
	for job := range n.jobs {
		job()
	}
}

func (n *Namespace) enter() error {
	before, err := os.Stat(threadNamespace)
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare(CLONE_NEWNET), needs root: %w", err)
	}
	if err := apart(before); err != nil {
		return err
	}
	if n.handle, err = os.Open(threadNamespace); err != nil {
		return err
	}
	return up("lo") // every pod has it
}

// apart is the guard: no test goes on in the namespace it started in, or in the machine's own.
func apart(before os.FileInfo) error {
	here, err := os.Stat(threadNamespace)
	if err != nil {
		return err
	}
	host, err := os.Stat("/proc/1/ns/net") // not readable in every sandbox
	if os.SameFile(here, before) || (err == nil && os.SameFile(here, host)) {
		return errors.New("this isn't a network namespace of our own; stopping before anything is changed")
	}
	return nil
}

// Do runs work on the namespace's thread and waits for it. A panic comes back as an error.
func (n *Namespace) Do(work func() error) error {
	done := make(chan error, 1)
	n.jobs <- func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("panic: %v", r)
			}
		}()
		done <- work()
	}
	return <-done
}

// Must is Do for work that has to succeed.
func (n *Namespace) Must(t testing.TB, work func() error) {
	t.Helper()
	if err := n.Do(work); err != nil {
		t.Fatal(err)
	}
}

// Path names the namespace for setns.
func (n *Namespace) Path() string { return fmt.Sprintf("/proc/self/fd/%d", n.handle.Fd()) }

// Thread runs work in the namespace on a thread of its own that ends with it: for work that changes the thread's rights,
// and for clients beside each other.
func (n *Namespace) Thread(work func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(n.handle.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- work()
	}()
	return done
}
