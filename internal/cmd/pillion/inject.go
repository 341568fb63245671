package pillion

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/cli"
	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
)

type injectOptions struct {
	file            string
	injector        string
	namespace       string
	namespaceLabels map[string]string
	sidecarImage    string
	native          bool
	output          string
}

func newInject(streams genericiooptions.IOStreams) *cobra.Command {
	o := injectOptions{}
	cmd := &cobra.Command{
		Use:     "inject -f FILE",
		Aliases: []string{"kube-inject"},
		Short:   "Put the sidecar into manifests, without a cluster",
		Long: `Put the sidecar into every pod and pod template of a file and print the result. Other objects pass
through unchanged. What was decided for each workload, and why, goes to stderr.

It is the code the webhook runs, so it also shows what the webhook would do: without --injector for
the Injector an operator makes by itself, in a namespace labelled istio-injection=enabled.`,
		Example: `  # what would be added?
  pillion inject -f deployment.yaml | diff deployment.yaml -

  # with your own Injector, in a namespace with your own labels
  pillion inject -f deployment.yaml --injector injector.yaml --namespace-labels istio.io/rev=canary

  # from other tools, into the cluster
  kustomize build overlay | pillion inject -f - | kubectl apply -f -`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runInject(cmd, streams, o) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.file, "filename", "f", "", "file to inject; - is stdin (required)")
	flags.StringVar(&o.injector, "injector", "", "file with the Injectors to use; default: the one an operator makes by itself")
	flags.StringVarP(&o.namespace, "namespace", "n", "default", "namespace of objects that name none")
	flags.StringToStringVar(&o.namespaceLabels, "namespace-labels", map[string]string{istio.LabelInjection: "enabled"}, "labels of namespaces that the file itself doesn't hold")
	flags.StringVar(&o.sidecarImage, "sidecar-image", operator.Defaults().SidecarImage, "sidecar's image where the Injector names none")
	flags.BoolVar(&o.native, "native-sidecar", true, "the nodes run kubelet 1.33 or later; used where nativeSidecar is Auto")
	flags.StringVarP(&o.output, "output", "o", "yaml", "yaml or json")
	return cmd
}

func runInject(cmd *cobra.Command, streams genericiooptions.IOStreams, o injectOptions) error {
	switch {
	case o.file == "":
		return usageError("inject needs a file: -f FILE, or -f - for stdin")
	case o.output != "yaml" && o.output != "json":
		return usageError("--output %q is unknown; want yaml or json", o.output)
	}
	set, err := offlineSet(o)
	if err != nil {
		return err
	}
	file, err := readFile(o.file, streams.In)
	if err != nil {
		return err
	}
	documents, err := cli.InjectFile(cmd.Context(), set, file, cli.FileOptions{
		Namespace: o.namespace, NamespaceLabels: o.namespaceLabels, Native: o.native,
	})
	if err != nil {
		return inputError(fmt.Errorf("reading %s: %w", o.file, err))
	}
	if denied := cli.WriteReport(streams.ErrOut, documents); denied > 0 {
		return fmt.Errorf("%d of the workloads in %s would be denied; nothing is printed\n  try: correct what is listed above", denied, o.file)
	}
	return cli.WriteDocuments(streams.Out, documents, o.output)
}

func offlineSet(o injectOptions) (*inject.Set, error) {
	injectors := []v1alpha1.Injector{cli.DefaultInjector()}
	if o.injector != "" {
		file, err := os.ReadFile(o.injector)
		if err != nil {
			return nil, inputError(err)
		}
		if injectors, err = cli.ReadInjectors(file); err != nil {
			return nil, inputError(fmt.Errorf("reading %s: %w", o.injector, err))
		}
	}
	set, err := cli.OfflineSet(injectors, offlineOperator(o.sidecarImage))
	if err != nil {
		return nil, inputError(err)
	}
	return set, nil
}

// offlineOperator is an operator with default settings: what a command that runs no operator knows of it.
func offlineOperator(sidecarImage string) inject.Operator {
	o := operator.Defaults()
	o.SidecarImage = sidecarImage
	return o.InjectOperator()
}

// maxFile bounds what a command reads from a file or stdin: 64 MiB.
const maxFile = 64 << 20

func readFile(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, inputError(err)
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, inputError(fmt.Errorf("reading %s: %w", name, err))
	}
	if len(data) > maxFile {
		return nil, inputError(fmt.Errorf("reading %s: larger than %d MiB", name, maxFile>>20))
	}
	return data, nil
}
