package pillion

import (
	"context"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"github.com/spf13/cobra"

	"github.com/pillion-mesh/pillion/internal/cli/proxyconfig"
)

func addEndpointFlags(cmd *cobra.Command, f *proxyconfig.EndpointFilter) {
	cmd.Flags().StringVar(&f.Address, "address", "", "only hosts with this address")
	cmd.Flags().IntVar(&f.Port, "port", 0, "only hosts of this port")
	cmd.Flags().StringVar(&f.Cluster, "cluster", "", "only hosts of the cluster with this name")
	cmd.Flags().StringVar(&f.Status, "status", "", "only hosts of this status: healthy, unhealthy, draining or degraded")
}

func (p *proxyConfig) endpoint() *cobra.Command {
	var f proxyconfig.EndpointFilter
	cmd := p.sub("endpoint", "ep", "Endpoints: the hosts of clusters, and how the proxy finds them", tableFormats, func(ctx context.Context, pod string) error {
		clusters, err := p.clusters(ctx, pod)
		if err != nil {
			return err
		}
		return proxyconfig.WriteEndpoints(p.out(), clusters, f, p.output)
	})
	cmd.Long = "Show the hosts of clusters as the proxy sees them at this moment. With -f the file holds the answer of\n/clusters?format=json."
	addEndpointFlags(cmd, &f)
	return cmd
}

func (p *proxyConfig) clusters(ctx context.Context, pod string) (*adminv3.Clusters, error) {
	data, err := p.source.read(ctx, pod, "/clusters?format=json")
	if err != nil {
		return nil, err
	}
	clusters, err := proxyconfig.ParseClusters(data)
	if err != nil {
		return nil, inputError(err)
	}
	return clusters, nil
}

func (p *proxyConfig) eds() *cobra.Command {
	var f proxyconfig.EndpointFilter
	cmd := p.dumped("eds", "eds-endpoint", "Endpoints as the control plane sent them, with their places", "?include_eds", tableFormats, func(d *proxyconfig.Dump) error {
		return d.WriteEDS(p.out(), f, p.output)
	})
	addEndpointFlags(cmd, &f)
	return cmd
}
