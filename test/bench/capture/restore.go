//go:build linux

package main

import (
	"fmt"
	"io"
	"os/exec"
	"slices"
	"time"
)

// Bars of the iptables backend: one family, the whole process.
const (
	restoreBar         = 15
	restoreChildrenBar = 2
)

// restoring is the command line of one family with a variant of iptables.
func restoring(variant string) []string {
	return append(injected(), "--ip-families", "ipv4", "--record=", "--force-iptables-binary", variant)
}

// restore measures the iptables backend. Without iptables there is nothing to measure.
func restore(w io.Writer, binary string) error {
	for _, l := range []struct{ name, variant string }{{"restore", "nft"}, {"restore-legacy", "legacy"}} {
		if _, err := exec.LookPath("iptables-" + l.variant + "-restore"); err != nil {
			fmt.Fprintf(w, "capture/%s skipped: iptables-%s-restore isn't installed\n", l.name, l.variant)
			continue
		}
		run := func() (time.Duration, error) {
			return timed(func() error { return started(binary, restoring(l.variant)) })
		}
		if err := line(w, l.name, restoreBar, run); err != nil {
			return err
		}
		err := inFreshNamespace(func() error {
			children, err := countChildren(binary, restoring(l.variant))
			if err == nil {
				fmt.Fprintf(w, "capture/%s children %d (bar %d)\n", l.name, children, restoreChildrenBar)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// started runs the binary in the calling thread's namespace.
func started(binary string, args []string) error {
	if text, err := exec.Command(binary, slices.Clone(args)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", binary, err, text)
	}
	return nil
}
