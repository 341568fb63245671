package pillion

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/pillion-mesh/pillion/internal/cli/proxyconfig"
)

func (p *proxyConfig) listener() *cobra.Command {
	var f proxyconfig.ListenerFilter
	verbose := true
	cmd := p.dumped("listener", "l", "Listeners: which connections are taken, and where they go", "", tableFormats, func(d *proxyconfig.Dump) error {
		return d.WriteListeners(p.out(), f, !verbose, p.output)
	})
	cmd.Flags().StringVar(&f.Address, "address", "", "only listeners with this address")
	cmd.Flags().IntVar(&f.Port, "port", 0, "only listeners of this port")
	cmd.Flags().StringVar(&f.Type, "type", "", "only listeners of this type: HTTP, TCP or HTTP+TCP")
	cmd.Flags().BoolVar(&verbose, "verbose", true, "filter chains and destinations; false: the type alone")
	return cmd
}

func (p *proxyConfig) route() *cobra.Command {
	f := proxyconfig.RouteFilter{Hosted: true}
	cmd := p.dumped("route", "r", "Routes: which requests go to which cluster", "", tableFormats, func(d *proxyconfig.Dump) error {
		return d.WriteRoutes(p.out(), p.streams.ErrOut, f, p.output)
	})
	cmd.Flags().StringVar(&f.Name, "name", "", "only the route table of this name")
	cmd.Flags().StringVar(&f.Name, "route", "", "the same as --name")
	cmd.Flags().BoolVar(&f.Hosted, "vhost-name", true, "the column VHOST NAME")
	return cmd
}

func (p *proxyConfig) cluster() *cobra.Command {
	var f proxyconfig.ClusterFilter
	cmd := p.dumped("cluster", "c", "Clusters: groups of hosts, and how they're reached", "", tableFormats, func(d *proxyconfig.Dump) error {
		return d.WriteClusters(p.out(), f, p.output)
	})
	cmd.Flags().StringVar(&f.FQDN, "fqdn", "", "only clusters with this in their names, such as a host or inbound|80||")
	cmd.Flags().IntVar(&f.Port, "port", 0, "only clusters of this port")
	cmd.Flags().StringVar(&f.Subset, "subset", "", "only clusters of this subset")
	cmd.Flags().StringVar(&f.Direction, "direction", "", "only clusters of this direction: inbound or outbound")
	return cmd
}

func (p *proxyConfig) secret() *cobra.Command {
	return p.dumped("secret", "s", "Certificates and what peers are verified against; never keys", "", tableFormats, func(d *proxyconfig.Dump) error {
		return d.WriteSecrets(p.out(), time.Now(), p.output)
	})
}

func (p *proxyConfig) bootstrap() *cobra.Command {
	return p.dumped("bootstrap", "b", "What the proxy was started with; -o short: its versions", "", []string{"json", "yaml", "short"}, func(d *proxyconfig.Dump) error {
		return d.WriteBootstrap(p.out(), p.output)
	})
}

func (p *proxyConfig) ecds() *cobra.Command {
	return p.dumped("ecds", "ec", "Filters that came by resources of their own", "", tableFormats, func(d *proxyconfig.Dump) error {
		return d.WriteECDS(p.out(), p.output)
	})
}
