// Package pillion is the command line of `pillion`: one file a subcommand, each of which turns flags and environment
// into options and calls what does the work. In come arguments and streams, out goes an exit code. Read this file
// first; a new subcommand is a file with its newXxx and one line in commands.
package pillion

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // of maintenance windows: the image has no zones of its own

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// commands are the subcommands, in the order of the help text.
func commands(streams genericiooptions.IOStreams) []*cobra.Command {
	return []*cobra.Command{
		newInject(streams),
		newUninject(streams),
		newCheckInject(streams),
		newWebhooks(streams),
		newCerts(streams),
		newProxyConfig(streams),
		newOperator(streams, nil),
		newVersion(streams),
	}
}

// Main runs the command named by args and returns the process's exit code. It ends early, in good order, on SIGINT and
// SIGTERM; a second one ends it at once.
func Main(args []string, in io.Reader, out, err io.Writer) int {
	ctx, stop := untilTold()
	defer stop()
	return run(ctx, args, genericiooptions.IOStreams{In: in, Out: out, ErrOut: err})
}

// untilTold ends on the first SIGINT or SIGTERM, and lets the second end the process.
func untilTold() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	return execute(ctx, newRoot(streams, commands(streams)...), args, streams)
}

func execute(ctx context.Context, root *cobra.Command, args []string, streams genericiooptions.IOStreams) int {
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		var silent *exitError
		if !errors.As(err, &silent) || silent.err != nil {
			fmt.Fprintf(streams.ErrOut, "error: %v\n", err)
		}
	}
	return exitCode(err)
}

func newRoot(streams genericiooptions.IOStreams, commands ...*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:   "pillion",
		Short: "Sidecars for Kubernetes that can say why",
		Long: `pillion puts a sidecar beside every pod that asks for one, and says why it did or didn't.

"pillion operator" runs in the cluster; the other commands are for you.`,
		Example: `  kubectl label namespace shop istio-injection=enabled   # every new pod there gets a sidecar
  kubectl get injectors                                  # how it looks, and whether all is well`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(unknownFlag)
	root.AddCommand(commands...)
	return root
}
