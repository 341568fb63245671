package pillion

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/pillion-mesh/pillion/internal/cli"
	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
)

type certsOptions struct {
	kube     *genericclioptions.ConfigFlags
	identity cli.Identity
	output   string
}

func newCertsOptions() certsOptions {
	o := certsOptions{kube: genericclioptions.NewConfigFlags(true)}
	timeout, defaults := "10s", operator.Defaults()
	o.kube.Timeout = &timeout
	o.identity = cli.Identity{Namespace: defaults.Namespace, Service: defaults.Service, Lease: defaults.Lease}
	return o
}

func (o *certsOptions) addFlags(flags *pflag.FlagSet) {
	o.kube.AddFlags(flags)
	flags.StringVarP(&o.identity.Namespace, "root-namespace", "i", o.identity.Namespace, "namespace of the operator")
	flags.StringVar(&o.identity.Service, "service", o.identity.Service, "the operator's Service")
	flags.StringVar(&o.identity.Lease, "lease", o.identity.Lease, "the operator's Lease")
}

func newCerts(streams genericiooptions.IOStreams) *cobra.Command {
	o := newCertsOptions()
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Show the operator's serving certificates: what API servers trust, what replicas serve",
		Long: `Show the identity the operator serves under: where it comes from, the phase of a rotation, and when the next one is
due; for each webhook entry the CAs that the API server trusts there; for each replica the CA of what it serves.

A CA has a role: active signs what is served, next will after the rotation under way, prev did before it. MISSING says
that a CA is served that an entry doesn't trust: what goes through that entry is refused.

It reads webhook configurations, the status of Injectors, the Lease, and the metadata of the Secret with the CA, never a
key. What you may not read is left out, with a line that says so.`,
		Example: `  pillion certs
  pillion certs -o json | jq -r '.bundles[] | select(.state == "MISSING") | .webhook'

  # a new CA, and what that does
  pillion certs rotate

Exit code: 0 all is well, 1 it couldn't be found out, 79 there are problems; they are listed.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return runCerts(cmd.Context(), streams.Out, o) },
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "text, json or yaml")
	cmd.AddCommand(newCertsRotate(streams))
	return cmd
}

func runCerts(ctx context.Context, out io.Writer, o certsOptions) error {
	if err := checkOutput(o.output, "text", "json", "yaml"); err != nil {
		return err
	}
	c, err := newClient(o.kube)
	if err != nil {
		return err
	}
	found, err := cli.ReadCertificates(ctx, c, o.identity, time.Now())
	if err != nil {
		return err
	}
	if o.output == "text" {
		err = found.Write(out)
	} else {
		err = writeResult(out, found, o.output)
	}
	if err == nil && len(found.Problems) > 0 {
		return &exitError{code: exitProblems}
	}
	return err
}
