package operator

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/supervisor"
)

// A child that dies more often than this is a matter for the kubelet, whose back-off people see.
const (
	childStarts = 6
	childWindow = 10 * time.Minute
)

// Supervise holds the webhook's socket and runs the operator itself in a child, so that a crash of it costs only the
// requests it was answering. args are the command line's; childFlags are the child's besides.
func Supervise(ctx context.Context, o Options, args []string, log logr.Logger) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program to run it again: %w", err)
	}
	listener, err := o.listen(ctx)
	if err != nil {
		return err
	}
	defer listener.Close()
	log.Info("supervising the operator", "address", listener.Addr().String())
	return supervisor.Run(ctx, supervisor.Options{
		Listener: listener,
		Starts:   childStarts, Window: childWindow,
		Patience: o.endsWithin() + time.Second,
		Now:      time.Now, Log: log,
		Command: func(deaths supervisor.Deaths) *exec.Cmd {
			child := exec.Command(program, slices.Concat(args, childFlags(deaths))...) //nolint:noctx // it ends by signal, and gets time for it
			child.Stdout, child.Stderr = os.Stdout, os.Stderr
			return child
		},
	})
}

func childFlags(deaths supervisor.Deaths) []string {
	return []string{
		"--supervise=false",
		fmt.Sprintf("--webhook-listener-fd=%d", supervisor.FDListener),
		fmt.Sprintf("--restarts=%d", deaths.Count),
		"--last-end=" + deaths.Last,
	}
}

// listen opens the webhook's socket, or takes it over from the process that supervises this one.
func (o Options) listen(ctx context.Context) (*net.TCPListener, error) {
	listener, err := o.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("webhook server: %w", err)
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("webhook server: %s is no TCP socket", listener.Addr())
	}
	return tcp, nil
}

func (o Options) open(ctx context.Context) (net.Listener, error) {
	if o.ListenerFD == 0 {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", o.WebhookAddress)
	}
	socket := os.NewFile(uintptr(o.ListenerFD), "webhook")
	defer socket.Close()
	return net.FileListener(socket)
}
