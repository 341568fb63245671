package pillion

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/cli"
	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
	"github.com/pillion-mesh/pillion/internal/inject"
)

type webhooksOptions struct {
	file     string
	revision string
	output   string
	op       inject.Operator
}

// newWebhooks is for those who keep webhook configurations in a repository.
func newWebhooks(streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "webhooks",
		Short:   "Print webhook configurations, for GitOps",
		Example: "  pillion webhooks render -f injector.yaml > webhooks.yaml",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(newWebhooksRender(streams))
	return cmd
}

func newWebhooksRender(streams genericiooptions.IOStreams) *cobra.Command {
	o := webhooksOptions{op: operator.Defaults().InjectOperator()}
	cmd := &cobra.Command{
		Use:   "render [-f injector.yaml]",
		Short: "Print the webhook configurations of an Injector, without a cluster",
		Long: `Print the MutatingWebhookConfigurations of an Injector: one for its revision, one for each of its tags and one for
"default" if it is the default one. Apply them yourself, with spec.webhook.mode: Field in the Injector; the operator
then writes clientConfig.caBundle and nothing else. There is no caBundle in the output, not even an empty one: whoever
applies one takes it from the operator.

The output is the same byte for byte for the same Injector, so it can be kept in a repository.`,
		Example: `  # of the Injector that an operator makes by itself
  pillion webhooks render

  # of your own; the other Injectors of the file keep their names, but aren't printed
  pillion webhooks render -f injectors.yaml --revision canary > webhooks.yaml

  # does the cluster have what the repository says?
  pillion webhooks render -f injector.yaml | kubectl diff -f -`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return runWebhooksRender(streams, o) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.file, "filename", "f", "", "file with Injectors; - is stdin; default: the one an operator makes by itself")
	flags.StringVar(&o.revision, "revision", "", "only the Injector of this revision; without -f, one of this revision with defaults")
	flags.StringVarP(&o.op.Namespace, "root-namespace", "i", o.op.Namespace, "namespace of the operator")
	flags.StringVar(&o.op.Service, "service", o.op.Service, "the operator's Service, where the Injector names none")
	flags.Int32Var(&o.op.ServicePort, "service-port", o.op.ServicePort, "its port")
	flags.StringVarP(&o.output, "output", "o", "yaml", "yaml or json")
	return cmd
}

func runWebhooksRender(streams genericiooptions.IOStreams, o webhooksOptions) error {
	if err := checkOutput(o.output, "yaml", "json"); err != nil {
		return err
	}
	injectors, err := injectorsOf(o.file, o.op.Namespace, streams.In)
	if err != nil {
		return err
	}
	if o.file == "" && o.revision != "" {
		injectors = []v1alpha1.Injector{cli.PlainInjector(o.revision)}
		if faults := v1alpha1.Validate(&injectors[0]); len(faults) > 0 {
			return usageError("--revision %q: %w", o.revision, faults.ToAggregate())
		}
	}
	configurations, err := cli.RenderWebhooks(injectors, o.revision, o.op)
	if err != nil {
		return inputError(err)
	}
	var out bytes.Buffer
	if err := writeConfigurations(&out, configurations, o.output); err != nil {
		return err
	}
	if names := cli.Overwritten(injectors, o.revision); len(names) > 0 && o.file != "" {
		fmt.Fprintf(streams.ErrOut, "note: the operator writes the configurations of Injector %s itself; set spec.webhook.mode: Field to apply your own\n", strings.Join(names, ", "))
	}
	_, err = out.WriteTo(streams.Out)
	return err
}

// writeConfigurations prints YAML documents, or JSON objects one after the other.
func writeConfigurations(out *bytes.Buffer, configurations []admissionregistrationv1.MutatingWebhookConfiguration, format string) error {
	for i := range configurations {
		if i > 0 && format == "yaml" {
			out.WriteString("---\n")
		}
		if err := writeResult(out, configurations[i], format); err != nil {
			return err
		}
	}
	return nil
}
