package pillion

import (
	"context"
	"io"
	"strings"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/pillion-mesh/pillion/internal/cli/proxyconfig"
)

// proxyConfig is what the subcommands of proxy-config share.
type proxyConfig struct {
	streams genericiooptions.IOStreams
	source  proxySource
	output  string
}

func newProxyConfig(streams genericiooptions.IOStreams) *cobra.Command {
	p := &proxyConfig{streams: streams, source: newProxySource(streams.In)}
	cmd := &cobra.Command{
		Use:     "proxy-config",
		Aliases: []string{"pc"},
		Short:   "Show what a proxy is configured with, from a pod or a file",
		Long: `Show the configuration a proxy works by: its listeners, routes, clusters, endpoints, secrets, bootstrap and log levels,
with istioctl's headings and filters. A connection is followed with them in this order: listener by the address it was
going to, route, cluster, endpoint; and at the other end the listener of port 15006.

It reads the proxy's admin API by a port-forward, which needs the permission to create pods/portforward. With -f it
reads a file that holds the answer of /config_dump instead, ours or Envoy's, and needs no cluster.`,
		Example: `  # which listener takes connections to port 9999, and where they go from there
  pillion proxy-config listener deploy/front -n shop --port 9999
  pillion pc route front-7c9f.shop --name 9999
  pillion pc cluster front-7c9f.shop --fqdn bill-service -o json
  pillion pc endpoint front-7c9f.shop --cluster 'outbound|9999|v1|bill-service.shop.svc.cluster.local'

  # from a file
  kubectl exec front-7c9f -c istio-proxy -- pillion-sidecar request GET /config_dump > dump.json
  pillion pc all -f dump.json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(p.listener(), p.route(), p.cluster(), p.endpoint(), p.eds(), p.secret(), p.bootstrap(), p.ecds(), p.all(), p.log())
	for _, sub := range cmd.Commands() {
		p.source.addFlags(sub.Flags())
	}
	return cmd
}

// sub is a subcommand that shows something; show gets the pod or "".
func (p *proxyConfig) sub(name, alias, short string, formats []string, show func(ctx context.Context, pod string) error) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: name + " [POD[.NAMESPACE] | TYPE/NAME]", Aliases: []string{alias, name + "s"}, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if given := len(args) + count(p.source.file != ""); given != 1 {
				return usageError("%s wants one of: a pod or TYPE/NAME, or -f FILE; got %d\n  try: %s --help", cmd.CommandPath(), given, cmd.CommandPath())
			}
			if err := checkOutput(output, formats...); err != nil {
				return err
			}
			p.output = output
			return show(cmd.Context(), append(args, "")[0])
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", formats[0], strings.Join(formats, ", "))
	return cmd
}

var tableFormats = []string{"table", "json", "yaml"}

// dumped is a subcommand of what /config_dump has; query is behind its path.
func (p *proxyConfig) dumped(name, alias, short, query string, formats []string, write func(*proxyconfig.Dump) error) *cobra.Command {
	return p.sub(name, alias, short, formats, func(ctx context.Context, pod string) error {
		dump, err := p.dump(ctx, pod, query)
		if err != nil {
			return err
		}
		return write(dump)
	})
}

func (p *proxyConfig) dump(ctx context.Context, pod, query string) (*proxyconfig.Dump, error) {
	data, err := p.source.read(ctx, pod, "/config_dump"+query)
	if err != nil {
		return nil, err
	}
	dump, err := proxyconfig.ParseDump(data)
	if err != nil {
		return nil, inputError(err)
	}
	return dump, nil
}

func (p *proxyConfig) out() io.Writer { return p.streams.Out }

func (p *proxyConfig) all() *cobra.Command {
	headed := false
	cmd := p.sub("all", "a", "Every table; with -f all but the endpoints", []string{"table"}, func(ctx context.Context, pod string) error {
		dump, err := p.dump(ctx, pod, "")
		if err != nil {
			return err
		}
		clusters := &adminv3.Clusters{}
		if pod != "" {
			if clusters, err = p.clusters(ctx, pod); err != nil {
				return err
			}
		}
		return dump.WriteAll(p.out(), p.streams.ErrOut, clusters, time.Now(), headed)
	})
	cmd.Flags().BoolVar(&headed, "with-headers", false, "a line with its name above each table")
	return cmd
}
