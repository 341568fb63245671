//go:build linux

// The benchmark of capture: medians of 20 runs, each in a network namespace of its own, as `area/name unit value` lines
// with the bar beside the value where there is one.
// It must run as root and never touches the machine's own rules. `make bench AREA=capture` runs it.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

const runs = 20

func main() {
	if err := bench(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench capture:", err)
		os.Exit(1)
	}
}

// injected is the command line istio-init has.
func injected() []string {
	return []string{"apply", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020"}
}

func bench(w io.Writer) error {
	dir, err := os.MkdirTemp("", "pillion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, empty := filepath.Join(dir, "pillion-capture"), filepath.Join(dir, "empty")
	if err := build(binary, "./sidecar/capture"); err != nil {
		return err
	}
	if err := buildEmpty(empty); err != nil {
		return err
	}
	// The first netfilter user of an idle kernel pays for hooks that others then share: that is not ours to measure.
	return inFreshNamespace(func() error {
		if err := process(binary); err != nil {
			return err
		}
		return measure(w, binary, empty)
	})
}

func build(binary, source string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", source, err, text)
	}
	return nil
}

// buildEmpty builds a program that ends at once: what starting any costs on this machine.
func buildEmpty(binary string) error {
	source := binary + ".go"
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return err
	}
	return build(binary, source)
}

// Bars, in milliseconds.
const (
	processBar   = 8
	inProcessBar = 2
	rerunBar     = 5
)

func measure(w io.Writer, binary, empty string) error {
	names := []string{"empty_process", "start", "process", "inprocess", "rerun"}
	found, err := medians(map[string]func() (time.Duration, error){
		"empty_process": func() (time.Duration, error) { return timed(exec.Command(empty).Run) },
		"start":         func() (time.Duration, error) { return timed(exec.Command(binary, "--help").Run) },
		"process":       func() (time.Duration, error) { return timed(func() error { return process(binary) }) },
		"inprocess":     inProcess,
		"rerun":         func() (time.Duration, error) { return rerun(binary) },
	}, names)
	if err != nil {
		return err
	}
	bars := map[string]float64{"process": processBar, "inprocess": inProcessBar, "rerun": rerunBar}
	for _, name := range names {
		show(w, name, bars[name], found[name])
	}
	fmt.Fprintf(w, "capture/process over_empty_ms %.2f\n", milliseconds(found["process"]-found["empty_process"]))
	if err := children(w, binary); err != nil {
		return err
	}
	if err := restore(w, binary); err != nil {
		return err
	}
	if err := insert(w); err != nil {
		return err
	}
	return reapply(w)
}

// children counts the processes that a first and a second run start.
func children(w io.Writer, binary string) error {
	return inFreshNamespace(func() error {
		for _, name := range []string{"process", "rerun"} {
			n, err := countChildren(binary, injected())
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "capture/%s children %d (bar 0)\n", name, n)
		}
		return nil
	})
}

// line measures and prints one median.
func line(w io.Writer, name string, bar float64, run func() (time.Duration, error)) error {
	found, err := medians(map[string]func() (time.Duration, error){name: run}, []string{name})
	if err == nil {
		show(w, name, bar, found[name])
	}
	return err
}

// show prints one figure; bar 0 means that there is none.
func show(w io.Writer, name string, bar float64, d time.Duration) {
	beside := ""
	if bar > 0 {
		beside = fmt.Sprintf(" (bar %.3g)", bar)
	}
	fmt.Fprintf(w, "capture/%s ms %.2f%s\n", name, milliseconds(d), beside)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// medians of runs, each in a fresh namespace. All are taken in turn: what else the machine does is the same for them.
func medians(measured map[string]func() (time.Duration, error), order []string) (map[string]time.Duration, error) {
	all, found := map[string][]time.Duration{}, map[string]time.Duration{}
	for range runs {
		for _, name := range order {
			err := inFreshNamespace(func() error {
				d, err := measured[name]()
				all[name] = append(all[name], d)
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for name, list := range all {
		slices.Sort(list)
		found[name] = list[len(list)/2]
	}
	return found, nil
}

func timed(work func() error) (time.Duration, error) {
	started := time.Now()
	err := work()
	return time.Since(started), err
}

// process is one whole run of the binary in the calling thread's namespace.
func process(binary string) error {
	cmd := exec.Command(binary, injected()...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", binary, err, text)
	}
	return nil
}

// rerun times the second run in one namespace: nothing is to be written.
func rerun(binary string) (time.Duration, error) {
	if err := process(binary); err != nil {
		return 0, err
	}
	return timed(func() error { return process(binary) })
}

// inProcess times Apply itself, connections to the kernel included.
func inProcess() (time.Duration, error) {
	return timed(func() error { return apply(injected()) })
}

// apply makes a command line's plan true in the calling thread's namespace.
func apply(args []string) error {
	rules, err := nft.Open()
	if err != nil {
		return err
	}
	defer func() { _ = rules.Close() }()
	links, err := capture.OpenLinks()
	if err != nil {
		return err
	}
	defer func() { _ = links.Close() }()
	command, err := plan.Parse(args, plan.Environment{})
	if err != nil {
		return err
	}
	system := capture.System{Rules: rules, Links: links, Routes: links, LegacyTables: capture.LegacyTables, Version: "bench"}
	families, _, err := capture.Families(command.Options.Families, links)
	if err != nil {
		return err
	}
	p, _, err := plan.New(command.Options, families)
	if err != nil {
		return err
	}
	_, err = system.Apply(p, false)
	return err
}
