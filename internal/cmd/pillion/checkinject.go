package pillion

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/cli"
	"github.com/pillion-mesh/pillion/internal/cmd/pillion/operator"
)

// check-inject's own exit codes; 0 is injected.
const (
	exitNotInjected = 1
	exitCannotTell  = 2
)

type checkInjectOptions struct {
	kube     *genericclioptions.ConfigFlags
	root     string
	file     string
	selector string
	output   string
}

func newCheckInject(streams genericiooptions.IOStreams) *cobra.Command {
	o := checkInjectOptions{kube: genericclioptions.NewConfigFlags(true)}
	timeout := "10s"
	o.kube.Timeout = &timeout
	cmd := &cobra.Command{
		Use:   "check-inject [POD[.NAMESPACE] | TYPE/NAME]",
		Short: "Say whether a pod gets a sidecar, from which webhook, and why",
		Long: `Say for a pod, a workload, a file or just labels whether a new pod gets a sidecar: every webhook that sees pods
being created, whether its selectors match and which label decided, then the decision with each of its steps, and what
to change for a sidecar.

The selectors are those the API server has at this moment, also other meshes'; the decision is made by the code that
the webhook runs. A pod that runs is asked about as if it were created again, and what differs from it is noted.`,
		Example: `  pillion check-inject -n shop pay-7c9f4d-x2x4p
  pillion check-inject -n shop deploy/pay
  pillion check-inject pay-7c9f4d-x2x4p.shop
  pillion check-inject -n shop -f pay.yaml

  # all pods with a label; without one, a pod that doesn't exist yet
  pillion check-inject -n shop -l app=pay
  pillion check-inject -n shop -l sidecar.istio.io/inject=true

  # in a script: does everything in this file get a sidecar?
  pillion check-inject -n shop -f pay.yaml -o json | jq -r .advice

Exit code: 0 injected, 1 not injected (or one of several isn't), 2 it couldn't be found out.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return runCheckInject(cmd, streams, o, args) },
	}
	o.kube.AddFlags(cmd.Flags())
	cmd.Flags().StringVarP(&o.root, "root-namespace", "i", operator.Defaults().Namespace, "namespace of the operator")
	cmd.Flags().StringVarP(&o.file, "filename", "f", "", "file with pods or workloads instead of one in the cluster; - is stdin")
	cmd.Flags().StringVarP(&o.selector, "selector", "l", "", "pods with these labels, such as app=pay,version=v2; if there are none, a new pod with them")
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
	if given := len(args) + count(o.file != "") + count(o.selector != ""); given != 1 {
		return nil, usageError("check-inject wants one of: a pod or TYPE/NAME, -f FILE, or -l LABELS; got %d\n  try: pillion check-inject --help", given)
	}
	if err := checkOutput(o.output, "text", "json", "yaml"); err != nil {
		return nil, err
	}
	namespace, _, err := o.kube.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	c, err := newClient(o.kube)
	if err != nil {
		return nil, err
	}
	objects, note, err := o.objects(cmd, c, stdin, args, namespace)
	if err != nil {
		return nil, err
	}
	op := offlineOperator(operator.Defaults().SidecarImage)
	op.Namespace = o.root
	checks, err := cli.CheckInject(cmd.Context(), c, op, namespace, objects...)
	if err == nil && len(checks) == 0 {
		err = inputError(fmt.Errorf("%s holds no pod and no workload with pods\n  try: pillion inject -f %s, to see what is in it", o.file, o.file))
	}
	for i := range checks {
		if note != "" {
			checks[i].Notes = append(checks[i].Notes, note)
		}
	}
	return checks, err
}

// objects are what is asked about: one of the cluster, those of a file, or those with labels. The note says more of
// them.
func (o *checkInjectOptions) objects(cmd *cobra.Command, c client.Reader, stdin io.Reader, args []string, namespace string) (objects []*unstructured.Unstructured, note string, err error) {
	switch {
	case o.file != "":
		file, err := readFile(o.file, stdin)
		if err != nil {
			return nil, "", err
		}
		if objects, err = cli.ReadObjects(file); err != nil {
			return nil, "", inputError(fmt.Errorf("reading %s: %w", o.file, err))
		}
		return objects, "", nil
	case o.selector != "":
		return cli.FetchSelected(cmd.Context(), c, namespace, o.selector)
	}
	target, err := cli.ParseTarget(args[0], namespace)
	if err != nil {
		return nil, "", err
	}
	object, err := cli.Fetch(cmd.Context(), c, target)
	return []*unstructured.Unstructured{object}, "", err
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
	return writeResult(w, onlyOrAll(checks), format)
}

// onlyOrAll: one check prints as an object, several as a list.
func onlyOrAll(checks []cli.InjectionCheck) any {
	if len(checks) == 1 {
		return checks[0]
	}
	return cli.InjectionCheckList{APIVersion: cli.APIVersion, Kind: "InjectionCheckList", Items: checks}
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
