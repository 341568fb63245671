// Command cluster runs a real Kubernetes on this machine for tests and the demo: a node in namespaces of its own, or,
// with --api-only, an API server without root. `go run ./test/cluster up` starts it, `down` removes it. In: flags. Out:
// a running cluster, its kubeconfig's path, or an exit code that says what to do. Start here; commands.go joins flags
// to package cluster, which does the work.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
)

// Exit codes, as in sysexits.h where it has one.
const (
	exitFailed      = 1
	exitUsage       = 64
	exitUnavailable = 69 // a program isn't installed
	exitNoPerm      = 77 // needs root
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == cluster.InitCommand {
		os.Exit(cluster.Init())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
	}
	stop()
	os.Exit(exitCode(err))
}

// usageError is one of the command line.
type usageError struct{ error }

func exitCode(err error) int {
	var missing *binary.Missing
	var usage usageError
	var command *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &missing):
		return exitUnavailable
	case errors.Is(err, cluster.ErrNeedsRoot):
		return exitNoPerm
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &command) && command.ExitCode() > 0:
		return command.ExitCode() // `exec` ends as its command did
	}
	return exitFailed
}
