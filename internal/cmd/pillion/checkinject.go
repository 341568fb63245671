package pillion

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/internal/cli"
	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
)

// check-inject's own exit codes; 0 is injected.
const (
	exitNotInjected = 1
	exitCannotTell  = 2
)

type checkInjectOptions struct {
	kube   *genericclioptions.ConfigFlags
	root   string
	file   string
	labels map[string]string
	output string
}

func newCheckInject(streams genericiooptions.IOStreams) *cobra.Command {
	o := checkInjectOptions{kube: genericclioptions.NewConfigFlags(true)}
	timeout := "10s"
	o.kube.Timeout = &timeout
	cmd := &cobra.Command{
		Use:   "check-inject [POD[.NAMESPACE] | TYPE/NAME]",
		Short: "Say whether a pod gets a sidecar, from which webhook, and why",
		Long: `Say for a pod, a workload, a file or just labels whether a new pod gets a sidecar: every webhook that sees pods
being created, whether its selectors match and which label decided, then the decision with each of its steps.

The selectors are those the API server has at this moment, also other injectors'; the decision is made by the code
that the webhook runs.`,
		Example: `  pillion check-inject -n shop pay-7c9f4d-x2x4p
  pillion check-inject -n shop deploy/pay
  pillion check-inject -n shop -f pay.yaml
  pillion check-inject -n shop -l sidecar.istio.io/inject=true     # a pod that doesn't exist yet

Exit code: 0 injected, 1 not injected, 2 it couldn't be found out.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runCheckInject(cmd, streams, o, args) },
	}
	o.kube.AddFlags(cmd.Flags())
	cmd.Flags().StringVarP(&o.root, "root-namespace", "i", operator.Defaults().Namespace, "namespace of the operator")
	cmd.Flags().StringVarP(&o.file, "filename", "f", "", "file with pods or workloads instead of one in the cluster; - is stdin")
	cmd.Flags().StringToStringVarP(&o.labels, "labels", "l", nil, "labels of a pod that doesn't exist yet")
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "text, json or yaml")
	return cmd
}

func runCheckInject(cmd *cobra.Command, streams genericiooptions.IOStreams, o checkInjectOptions, args []string) error {
	checks, err := o.check(cmd, streams.In, args)
	if err != nil {
		return &exitError{code: exitCannotTell, err: err}
	}
	if err := writeChecks(streams.Out, checks, o.output); err != nil {
		return &exitError{code: exitCannotTell, err: err}
	}
	for _, c := range checks {
		if !c.Injected {
			return &exitError{code: exitNotInjected}
		}
	}
	return nil
}

func (o *checkInjectOptions) check(cmd *cobra.Command, stdin io.Reader, args []string) ([]cli.InjectionCheck, error) {
	if given := len(args) + count(o.file != "") + count(len(o.labels) > 0); given != 1 {
		return nil, usageError("check-inject wants one of: a pod or TYPE/NAME, -f FILE, or -l LABELS; see pillion check-inject --help")
	}
	if o.output != "text" && o.output != "json" && o.output != "yaml" {
		return nil, usageError("--output %q is unknown; want text, json or yaml", o.output)
	}
	namespace, _, err := o.kube.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	c, err := newClient(o.kube)
	if err != nil {
		return nil, err
	}
	objects, err := o.objects(cmd, c, stdin, args, namespace)
	if err != nil {
		return nil, err
	}
	op := offlineOperator(operator.Defaults().SidecarImage)
	op.Namespace = o.root
	checks, err := cli.CheckInject(cmd.Context(), c, op, namespace, objects...)
	if err == nil && len(checks) == 0 {
		err = inputError(fmt.Errorf("%s holds no pod and no workload with pods", o.file))
	}
	return checks, err
}

// objects are what is asked about: one of the cluster, those of a file, or a pod made of labels.
func (o *checkInjectOptions) objects(cmd *cobra.Command, c client.Reader, stdin io.Reader, args []string, namespace string) ([]*unstructured.Unstructured, error) {
	switch {
	case o.file != "":
		file, err := readFile(o.file, stdin)
		if err != nil {
			return nil, err
		}
		objects, err := cli.ReadObjects(file)
		if err != nil {
			return nil, inputError(fmt.Errorf("reading %s: %w", o.file, err))
		}
		return objects, nil
	case len(o.labels) > 0:
		return []*unstructured.Unstructured{cli.PodWithLabels(namespace, o.labels)}, nil
	}
	target, err := cli.ParseTarget(args[0], namespace)
	if err != nil {
		return nil, err
	}
	object, err := cli.Fetch(cmd.Context(), c, target)
	if err != nil {
		return nil, err
	}
	return []*unstructured.Unstructured{object}, nil
}

// newClient returns a client for the cluster of the kubeconfig flags.
func newClient(flags *genericclioptions.ConfigFlags) (client.Client, error) {
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w\n  try: --kubeconfig FILE, or --context NAME", err)
	}
	if config.Timeout == 0 {
		config.Timeout = 10 * time.Second
	}
	scheme, err := cli.Scheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reaching the API server %s: %w", config.Host, err)
	}
	return c, nil
}

func writeChecks(w io.Writer, checks []cli.InjectionCheck, format string) error {
	if format == "text" {
		for i := range checks {
			if i > 0 {
				fmt.Fprintln(w)
			}
			if err := checks[i].Write(w); err != nil {
				return err
			}
		}
		return nil
	}
	data, err := json.MarshalIndent(onlyOrAll(checks), "", "  ")
	if err == nil && format == "yaml" {
		data, err = yaml.JSONToYAML(data)
	}
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", trimNewline(data))
	return err
}

// onlyOrAll: one check prints as an object, several as a list.
func onlyOrAll(checks []cli.InjectionCheck) any {
	if len(checks) == 1 {
		return checks[0]
	}
	return checks
}

func trimNewline(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	return b
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
