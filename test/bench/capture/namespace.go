//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture"
)

// inFreshNamespace runs work on a thread in a network namespace of its own, with an address of each family as a pod
// has. The thread ends with the work, and the namespace with the thread.
func inFreshNamespace(work func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := fresh(); err != nil {
			done <- err
			return
		}
		done <- work()
	}()
	return <-done
}

func fresh() error {
	before, err := os.Stat(threadNamespace)
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("making a network namespace (needs root): %w", err)
	}
	if err := apart(before); err != nil {
		return err
	}
	links, err := capture.OpenLinks()
	if err != nil {
		return err
	}
	defer func() { _ = links.Close() }()
	return errors.Join(links.AddToLoopback(netip.MustParsePrefix("10.20.0.7/32")), links.AddToLoopback(netip.MustParsePrefix("fd20::7/128")))
}

const threadNamespace = "/proc/thread-self/ns/net"

// apart stops the program if the namespace were the one we came from, or the machine's own.
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
