//go:build linux

// Command proxy measures the proxy beside nginx and haproxy and prints a figure a line: `proxy/<case> <figure> <value>`.
// What counts is CPU time of the proxy alone, a request, a connection or a GB, on one core; clients and backends have
// another. In each round all proxies of a case are loaded one after the other, and what is compared is the same round's:
// so what the machine does meanwhile weighs on all of them. Rounds in which something else used the proxies' core, or
// the host took it away, are run again; a figure that stays noisy is marked and no bar is judged by it.
//
// The product's own binary is measured, with a bootstrap as a control plane would make it. Peers are Debian packages
// (nginx-light, haproxy; wrk and nghttp2-client are the clients); one that is missing is skipped by name. Names of cases
// as arguments run those alone. -o markdown prints the table of docs/performance.md instead of lines; -short shows that
// everything runs, with figures that prove nothing.
//
// Read this file, then cases.go (what is compared), rounds.go (how it is measured), servers.go over conf/ (who takes
// part), load.go (clients), role*.go (what this program is when it starts itself as a client or backend), report.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	short  bool
	output string
	binary string // empty: it is built from this tree
	cases  []string
}

// Forms of output.
const (
	outputLines    = "lines"
	outputMarkdown = "markdown"
)

func main() {
	runtime.LockOSThread() // what is started dies with the thread that started it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if role := os.Getenv(roleEnv); role != "" {
		err = runRole(ctx, role, os.Args[1:])
	} else {
		err = run(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench proxy:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	flags.BoolVar(&o.short, "short", false, "one short round a case: it proves that the bench runs, no more")
	flags.StringVar(&o.output, "o", outputLines, "lines or markdown (lines go to stderr then)")
	flags.StringVar(&o.binary, "sidecar", "", "the pillion-sidecar to measure; without it this tree's is built")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.cases = flags.Args()
	if o.output != outputLines && o.output != outputMarkdown {
		return o, fmt.Errorf("-o is %q, want %s or %s", o.output, outputLines, outputMarkdown)
	}
	for _, name := range o.cases {
		if !slices.Contains(caseNames(), name) {
			return o, fmt.Errorf("there is no case %q; there are %v", name, caseNames())
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if runtime.NumCPU() < 2 {
		fmt.Fprintln(os.Stderr, "bench proxy: one core is not enough to measure another: skipped")
		return nil
	}
	r, err := newRig(ctx, o)
	if err != nil {
		return err
	}
	defer r.stop()
	var lines io.Writer = os.Stdout
	if o.output == outputMarkdown {
		lines = os.Stderr
	}
	results, err := r.measureAll(ctx, o, lines)
	if err == nil && o.output == outputMarkdown {
		r.markdown(ctx, os.Stdout, results)
	}
	return errors.Join(err, ctx.Err())
}

// plan is how long a measurement takes.
type plan struct {
	rounds int
	load   time.Duration // a round
	warmup time.Duration // before the first round of a proxy; later rounds have a tenth
	settle time.Duration // until memory is looked at
	idle   int           // connections
	spare  int           // noisy rounds that may be run again, of all cases
}

// The whole takes less than ten minutes on a quiet machine.
func (o options) plan() plan {
	if o.short {
		return plan{rounds: 1, load: time.Second, warmup: 300 * time.Millisecond, settle: 4 * time.Second, idle: 1000}
	}
	return plan{rounds: 5, load: 3 * time.Second, warmup: time.Second, settle: 7 * time.Second, idle: 10_000, spare: 20}
}
