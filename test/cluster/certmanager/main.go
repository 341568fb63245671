// Command certmanager is cert-manager in one program: the controllers that issue and renew certificates by self-signed
// and CA issuers, and the CA injector, which writes a certificate's authority into webhook configurations. In: a
// kubeconfig; cert-manager's CRDs must be installed. Out: Secrets and caBundles. Its webhook isn't there, so what it
// would refuse is accepted: durations of seconds, for instance.
//
// cert-manager's own commands are modules that can't be fetched, so this one composes its packages as they do. It is a
// module of its own to keep cert-manager's requirements out of this project's. Start here; injector.go is the injector.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/cert-manager/cert-manager/pkg/logs"
)

const exitUsage = 64

func main() {
	flags := flag.NewFlagSet("certmanager", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "the API server and who to be there")
	klog.InitFlags(flags)
	if err := flags.Set("v", "2"); err != nil { // cert-manager's level for what it does; 0 has its errors only
		panic(err)
	}
	if err := flags.Parse(os.Args[1:]); err != nil || *kubeconfig == "" {
		fmt.Fprintln(os.Stderr, "usage: certmanager --kubeconfig FILE")
		os.Exit(exitUsage)
	}
	logs.InitLogs()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *kubeconfig)
	stop()
	logs.FlushLogs()
	if err != nil {
		fmt.Fprintln(os.Stderr, "certmanager:", err)
		os.Exit(1)
	}
}

// run returns when ctx ends and both parts are done; the end of one is the end of the other.
func run(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts := []func(context.Context) error{
		func(ctx context.Context) error { return runControllers(ctx, kubeconfig) },
		func(ctx context.Context) error { return runInjector(ctx, config) },
	}
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() { ended <- part(ctx); stop() }()
	}
	var failed error
	for range parts {
		failed = errors.Join(failed, <-ended)
	}
	return failed
}
