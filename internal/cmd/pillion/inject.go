package pillion

import (
	"context"
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
	undo            bool
	output          string
}

func newInject(streams genericiooptions.IOStreams) *cobra.Command {
	o := injectOptions{}
	cmd := &cobra.Command{
		Use:     "inject -f FILE",
		Aliases: []string{"kube-inject"},
		Short:   "Put the sidecar into manifests, without a cluster",
		Long: `Put the sidecar into every pod and pod template of a file and print the result. Other objects pass
through unchanged. What was decided for each workload, and why, goes to stderr. Injecting twice changes nothing;
"pillion uninject" (or --undo) gives back what was there before.

It is the code the webhook runs, so it also shows what the webhook would do: without --injector for
the Injector an operator makes by itself, in a namespace labelled istio-injection=enabled. A Namespace in the file
itself brings its own labels, and ConfigMaps in the Injectors' file the templates that come from them.`,
		Example: `  # what would be added?
  pillion inject -f deployment.yaml | diff deployment.yaml -

  # with your own Injector, in a namespace with your own labels
  pillion inject -f deployment.yaml --injector injector.yaml --namespace-labels istio.io/rev=canary

  # from other tools, into the cluster
  kustomize build overlay | pillion inject -f - | kubectl apply -f -

  # out again
  pillion inject -f injected.yaml --undo > original.yaml`,
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
	flags.BoolVar(&o.undo, "undo", false, "take the sidecar out instead")
	flags.StringVarP(&o.output, "output", "o", "yaml", "yaml or json")
	return cmd
}

// newUninject is inject --undo under a name of its own.
func newUninject(streams genericiooptions.IOStreams) *cobra.Command {
	o := injectOptions{undo: true}
	cmd := &cobra.Command{
		Use:   "uninject -f FILE",
		Short: "Take the sidecar out of manifests, without a cluster",
		Long: `Take our sidecar out of every pod and pod template of a file and print the result: what was there before the
injection, as far as nobody edited it since. What has no sidecar of ours passes through unchanged, byte for byte.`,
		Example: `  pillion uninject -f injected.yaml > original.yaml
  kubectl get deploy pay -n shop -o yaml | pillion uninject -f -`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runInject(cmd, streams, o) },
	}
	cmd.Flags().StringVarP(&o.file, "filename", "f", "", "file with injected objects; - is stdin (required)")
	cmd.Flags().StringVarP(&o.output, "output", "o", "yaml", "yaml or json")
	return cmd
}

func runInject(cmd *cobra.Command, streams genericiooptions.IOStreams, o injectOptions) error {
	if o.file == "" {
		return usageError("%s needs a file\n  try: -f FILE, or -f - for stdin", cmd.CommandPath())
	}
	if err := checkOutput(o.output, "yaml", "json"); err != nil {
		return err
	}
	file, err := readFile(o.file, streams.In)
	if err != nil {
		return err
	}
	documents, denied, err := o.change(cmd.Context(), file, streams.ErrOut)
	if err != nil {
		return err
	}
	if denied > 0 {
		return fmt.Errorf("%s: %d of the workloads in it can't be done; nothing is printed\n  try: correct what is listed above", o.file, denied)
	}
	return cli.WriteDocuments(streams.Out, documents, o.output)
}

// change injects a file, or takes sidecars out, and reports each workload.
func (o *injectOptions) change(ctx context.Context, file []byte, report io.Writer) (documents []inject.Document, denied int, err error) {
	if o.undo {
		if documents, err = cli.UninjectFile(file); err != nil {
			return nil, 0, inputError(fmt.Errorf("reading %s: %w", o.file, err))
		}
		return documents, cli.WriteUndone(report, documents), nil
	}
	set, err := offlineSet(*o)
	if err != nil {
		return nil, 0, err
	}
	documents, err = cli.InjectFile(ctx, set, file, cli.FileOptions{
		Namespace: o.namespace, NamespaceLabels: o.namespaceLabels, Native: o.native,
	})
	if err != nil {
		return nil, 0, inputError(fmt.Errorf("reading %s: %w", o.file, err))
	}
	return documents, cli.WriteReport(report, documents), nil
}

func offlineSet(o injectOptions) (*inject.Set, error) {
	op := offlineOperator(o.sidecarImage)
	injectors, err := injectorsOf(o.injector, op.Namespace, nil)
	if err != nil {
		return nil, err
	}
	set, err := cli.OfflineSet(injectors, op)
	if err != nil {
		return nil, inputError(err)
	}
	return set, nil
}

// injectorsOf reads the Injectors of a file, or makes the one an operator makes by itself.
func injectorsOf(name, namespace string, stdin io.Reader) ([]v1alpha1.Injector, error) {
	if name == "" {
		return []v1alpha1.Injector{cli.DefaultInjector()}, nil
	}
	file, err := readFile(name, stdin)
	if err != nil {
		return nil, err
	}
	injectors, err := cli.ReadInjectors(file, namespace)
	if err != nil {
		return nil, inputError(fmt.Errorf("reading %s: %w", name, err))
	}
	return injectors, nil
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
	if name != "-" || stdin == nil {
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
