// Command inject measures admission and prints `inject/<name> <unit> <value>` lines: first one request through the
// handler in this process (handler.go), then requests a second through the operator's HTTPS server in a process of its
// own (https.go, serve.go), then what pods' creation takes with a real API server and operator (cluster.go, latency.go).
// Names of parts as arguments run those alone. Progress goes to stderr.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
	"github.com/pillion-mesh/pillion/test/cluster/progress"
)

// roleEnv makes this program the command `pillion`, or the server that https.go loads.
const (
	roleEnv      = "PILLION_BENCH_ROLE"
	roleOperator = "operator"
	roleServer   = "server"
)

// part is one group of figures.
type part struct {
	name string
	run  func(context.Context, *bench) error
}

var parts = []part{{"handler", handlers}, {"https", https}, {"cluster", pods}}

// bench is where figures and progress go.
type bench struct {
	out      io.Writer
	progress *progress.Printer
}

func (b *bench) figure(name, unit, format string, value any) {
	fmt.Fprintf(b.out, "inject/%s %s "+format+"\n", name, unit, value)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch os.Getenv(roleEnv) {
	case roleOperator:
		os.Exit(pillion.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) //nolint:gocritic // it takes signals itself
	case roleServer:
		exit(serve(os.Stdin, os.Stdout, os.Stderr))
	default:
		exit(run(ctx, os.Args[1:], &bench{os.Stdout, progress.New(os.Stderr)}))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench inject:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string, b *bench) error {
	for _, p := range parts {
		if len(names) > 0 && !slices.Contains(names, p.name) {
			continue
		}
		if err := p.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return ctx.Err()
}

// newSet is what an operator with the default Injector serves.
func newSet() (*inject.Set, error) {
	return injecttest.NewSet(injecttest.Operator(templates.FS), injecttest.Injector("default", "default"))
}

// median of values in any order, which it sorts.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// percentile of sorted values: the smallest that is not below p of them.
func percentile[T any](sorted []T, p float64) T {
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}
