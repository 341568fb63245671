package source

import "github.com/pillion-mesh/pillion/internal/proxy/config"

func (n namedClusters) table(t *config.RouteTable) {
	if t == nil {
		return
	}
	n.mirrors(t.Mirrors)
	n.overrides(t.Overrides)
	for _, host := range t.VirtualHosts {
		n.mirrors(host.Mirrors)
		n.overrides(host.Overrides)
		for _, r := range host.Routes {
			n.overrides(r.Overrides)
			n.forward(r.Forward)
		}
	}
}

func (n namedClusters) forward(f *config.Forward) {
	if f == nil {
		return
	}
	if f.Cluster != "" {
		n[f.Cluster] = true
	}
	for _, w := range f.Weighted {
		n[w.Name] = true
		n.overrides(w.Overrides)
	}
	n.mirrors(f.Mirrors)
}

func (n namedClusters) mirrors(mirrors []*config.Mirror) {
	for _, m := range mirrors {
		n[m.Cluster] = true
	}
}

func (n namedClusters) overrides(o config.Overrides) {
	for _, each := range o {
		n.filter(each.Config)
	}
}
