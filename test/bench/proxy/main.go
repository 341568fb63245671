// Command proxy measures HTTP through the proxy beside nginx and haproxy and prints `proxy/<name> <unit> <value>` lines:
// CPU time a request, of the proxy alone, on one core. The proxies run one after the other in rounds, the client (wrk)
// and the backend on another core; a round in which something else used the proxies' core is run again. Peers are Debian
// packages (nginx-light, haproxy, wrk); one that is missing is skipped by name. Names of cases as arguments run those
// alone. Progress goes to stderr.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// roleEnv makes this program the proxy under test or the backend.
const (
	roleEnv     = "PILLION_BENCH_ROLE"
	roleProxy   = "proxy"
	roleBackend = "backend"
)

// Rounds of a measurement.
const (
	rounds      = 5
	roundTime   = 5 * time.Second
	roundWarmup = time.Second
	connections = 64
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch os.Getenv(roleEnv) {
	case roleProxy:
		err = runProxy(ctx, os.Args[1:])
	case roleBackend:
		err = runBackend(ctx, os.Args[1:])
	default:
		err = run(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench proxy:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

// kase is one comparison: what the proxies do, and which of them can.
type kase struct {
	name  string
	path  string
	peers []string
}

var kases = []kase{
	{"http1", "/", []string{"nginx", "haproxy"}},
	{"http1_16k", "/16k", []string{"nginx", "haproxy"}},
}

func run(ctx context.Context, names []string) error {
	if runtime.NumCPU() < 2 {
		fmt.Fprintln(os.Stderr, "bench proxy: one core is not enough to measure another: skipped")
		return nil
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		fmt.Fprintln(os.Stderr, "bench proxy: no wrk: skipped")
		return nil
	}
	b, err := start(ctx)
	if err != nil {
		return err
	}
	defer b.stop()
	for _, k := range kases {
		if len(names) > 0 && !slices.Contains(names, k.name) {
			continue
		}
		if err := b.measure(ctx, k); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	return ctx.Err()
}
