// Command demo shows Pillion at work on a real Kubernetes that it starts on this machine: the operator deployed with
// kustomize, pods injected or not and why, requests through two sidecars. It exits with 0 only if all it shows is true,
// and leaves the cluster up; --clean removes it.
//
// Where no node can run (no root, not Linux) it shows what an API server alone can: offline.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/cluster/progress"
)

// options of one run.
type options struct {
	name    string // of the cluster: the demo's own, which tests never join; with -api behind it the one without a node
	clean   bool
	apiOnly bool
}

func main() {
	var o options
	flag.StringVar(&o.name, "name", "demo", "name of the cluster")
	flag.BoolVar(&o.clean, "clean", false, "remove what a demo left running")
	flag.BoolVar(&o.apiOnly, "api-only", false, "show what an API server alone can, even where a node could run")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, o options) error {
	if o.clean {
		return removeAll(ctx, o.name)
	}
	root, err := repository()
	if err != nil {
		return err
	}
	d := &demo{name: o.name, out: out, root: root, started: time.Now()}
	if o.apiOnly {
		return d.withoutNode(ctx, errors.New("--api-only was given"))
	}
	err = d.withNode(ctx)
	if errors.Is(err, cluster.ErrNeedsRoot) {
		return d.withoutNode(ctx, err)
	}
	return err
}

// removeAll ends both clusters a demo may have started.
func removeAll(ctx context.Context, name string) error {
	var failed []error
	for _, name := range []string{name, name + "-api"} {
		failed = append(failed, cluster.Down(ctx, name, progress.New(os.Stderr)))
	}
	return errors.Join(failed...)
}

// repository is the checkout's root, wherever in it the command was started.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "config", "default")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("this is no checkout of Pillion: run the demo from inside one (make demo)")
}
