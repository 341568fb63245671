package pillion

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
	"github.com/pillion-mesh/pillion/internal/log"
	"github.com/pillion-mesh/pillion/internal/supervisor"
)

// Operator is Main for the subcommand operator alone, in a test's process. change, unless nil, gets the settings after
// flags and environment were read and checked, for what has no flag, or values that one wouldn't take.
func Operator(args []string, err io.Writer, change func(*operator.Options)) int {
	ctx, stop := untilTold()
	defer stop()
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: err}
	return execute(ctx, newRoot(streams, newOperator(streams, change)), args, streams)
}

// newOperator runs the operator until it is told to end.
func newOperator(streams genericiooptions.IOStreams, change func(*operator.Options)) *cobra.Command {
	o := operator.Defaults()
	var logs log.Options
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Run the operator: admission webhook, Injector controller, serving certificate",
		Long: `Run the operator. It answers the API server's questions about new pods (port 15017, TLS), keeps the
MutatingWebhookConfigurations and their certificate in order, and reports on port 15014 (plain HTTP):

  /metrics   Prometheus
  /readyz    200 if the API server can call this replica; the body says why not
  /healthz   200 while the process runs (also /livez)

Run two replicas or more. All of them answer; the one that holds the Lease writes. On SIGTERM a replica gives the
Lease away, reports not ready, and goes on answering for --drain while the news spreads, then until API servers have
dropped their idle connections (they do after 90 s), at most for --linger.

It works in a child process; its parent holds the webhook's socket, so that a crash costs only the requests in
flight (--supervise=false: without a parent).

Every flag can also be given as an environment variable: --sidecar-image as PILLION_SIDECAR_IMAGE. A flag wins.`,
		Example: `  pillion operator                       # in a pod, as config/default runs it
  pillion operator --kubeconfig ~/.kube/config --webhook-address 127.0.0.1:15017 \
      --serving-host 127.0.0.1           # outside; the Injector then needs spec.webhook.url`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			if err := o.Validate(); err != nil {
				return usageError("%w; see %s --help", err, cmd.CommandPath())
			}
			logger, err := log.New(streams.ErrOut, logs)
			if err != nil {
				return usageError("%w", err)
			}
			if change != nil {
				change(&o)
			}
			return runOperator(cmd.Context(), o, logger)
		},
	}
	operatorFlags(cmd.Flags(), &o)
	cmd.Flags().StringVar(&logs.Level, "log-level", "info", strings.Join(log.Levels, ", "))
	cmd.Flags().StringVar(&logs.Format, "log-format", "json", strings.Join(log.Formats, " or "))
	return cmd
}

// runOperator runs it in a child of this process, in which case it is this process that dies hardly ever, or here.
func runOperator(ctx context.Context, o operator.Options, logger logr.Logger) error {
	switch {
	case o.Watchdog:
		return operator.RunWatchdog(ctx, o, logger)
	case o.Supervise:
		return operator.Supervise(ctx, o, os.Args[1:], logger)
	}
	if o.ListenerFD != 0 { // we are that child, and mustn't outlive the parent
		var stop context.CancelFunc
		ctx, stop = context.WithCancel(ctx)
		defer stop()
		go func() {
			<-supervisor.Orphaned()
			stop()
		}()
	}
	return operator.Run(ctx, o, logger)
}

func operatorFlags(f *pflag.FlagSet, o *operator.Options) {
	f.SortFlags = false
	f.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "kubeconfig `file`; empty: the pod's ServiceAccount, else $KUBECONFIG")
	f.StringVar(&o.Namespace, "namespace", o.Namespace, "the operator's own `namespace`, never injected (POD_NAMESPACE)")
	f.StringVar(&o.PodName, "pod-name", o.PodName, "`name` of this replica in the Lease and in Events (POD_NAME)")
	f.StringVar(&o.Service, "service", o.Service, "`Service` through which the API server reaches the webhook")
	f.Int32Var(&o.ServicePort, "service-port", o.ServicePort, "its port")
	f.StringVar(&o.Lease, "lease", o.Lease, "`name` of the Lease that makes one replica the leader")
	f.StringVar(&o.Revisions, "revisions", o.Revisions, "`globs` of the revisions whose Injectors this operator serves, comma-separated, or with ! of those it doesn't; others are another operator's")
	f.StringVar(&o.SidecarImage, "sidecar-image", o.SidecarImage, "`image` of the sidecar where an Injector names none")
	f.BoolVar(&o.CreateDefaultInjector, "create-default-injector", o.CreateDefaultInjector, "make the Injector \"default\" in a cluster that had none since the CRD was installed")
	f.StringVar(&o.WebhookAddress, "webhook-address", o.WebhookAddress, "`address` of the webhook server (TLS)")
	f.BoolVar(&o.Supervise, "supervise", o.Supervise, "hold the webhook's socket in a parent process, so that a crash costs only requests in flight")
	f.BoolVar(&o.Watchdog, "watchdog", o.Watchdog, "run nothing but what sets failurePolicy to Ignore while no operator is ready (Injectors with degrade.mode Ignore)")
	f.IntVar(&o.ListenerFD, "webhook-listener-fd", o.ListenerFD, "")
	f.IntVar(&o.Restarts, "restarts", o.Restarts, "")
	f.StringVar(&o.LastEnd, "last-end", o.LastEnd, "")
	f.StringVar(&o.PodUID, "pod-uid", o.PodUID, "")
	for _, own := range []string{"webhook-listener-fd", "restarts", "last-end", "pod-uid"} { // set by the parent process and by config/
		_ = f.MarkHidden(own) // it exists: declared above
	}
	f.StringVar(&o.OpsAddress, "ops-address", o.OpsAddress, "`address` of /metrics, /healthz and /readyz (plain HTTP)")
	f.StringSliceVar(&o.ServingHosts, "serving-host", o.ServingHosts, "further DNS `name` or address in the certificate, for Injectors with spec.webhook.url")
	f.StringVar(&o.TLSCert, "tls-cert-file", o.TLSCert, "`file` with the certificate chain to serve, for Injectors with certificates.source Provided and no secretRef; read again when it changes")
	f.StringVar(&o.TLSKey, "tls-key-file", o.TLSKey, "`file` with its private key")
	f.StringVar(&o.TLSCA, "tls-ca-file", o.TLSCA, "`file` with its CA; empty: the last certificate of the chain")
	f.StringVar(&o.ProbeURL, "probe-url", o.ProbeURL, "base URL at which API servers reach this operator for the probe of a new CA, with a host name that no webhook has; only for operators that aren't reached by a Service")
	f.DurationVar(&o.Drain, "drain", o.Drain, "how `long` to go on answering after SIGTERM, while API servers learn of it")
	f.DurationVar(&o.Linger, "linger", o.Linger, "how `long` idle connections may stay after that, until API servers drop them: closing one can lose a request")
	f.StringVar(&o.ClusterDomain, "cluster-domain", o.ClusterDomain, "DNS `domain` of the cluster")
	f.StringVar(&o.ClusterID, "cluster-id", o.ClusterID, "`name` of the cluster in the mesh")
	f.StringVar(&o.TrustDomain, "trust-domain", o.TrustDomain, "trust `domain` of workload identities")
	f.StringVar(&o.MeshID, "mesh-id", o.MeshID, "`name` of the mesh; empty: the trust domain")
	f.StringVar(&o.Network, "network", o.Network, "`name` of the network pods are in")
}

// fromEnvironment sets the flags that the command line doesn't. The names the downward API usually has come second.
func fromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	usual := map[string]string{"namespace": "POD_NAMESPACE", "pod-name": "POD_NAME", "pod-uid": "POD_UID"}
	var fault error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" {
			return
		}
		for _, name := range []string{"PILLION_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")), usual[f.Name]} {
			value, ok := lookup(name)
			if name == "" || !ok || value == "" || fault != nil {
				continue
			}
			if err := flags.Set(f.Name, value); err != nil {
				fault = usageError("environment variable %s: %w", name, err)
			}
			return
		}
	})
	return fault
}
