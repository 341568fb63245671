package proxy

import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// newUpstream makes what knows the clusters' hosts.
func (s *Server) newUpstream() *upstream.Manager {
	o := upstream.Options{
		Store: s.store, OwnPorts: s.opts.OwnPorts, LocalAddrs: s.opts.LocalAddrs, Now: s.opts.Now, Log: s.opts.Log,
	}
	if b := s.opts.Bootstrap; b != nil {
		o.LocalCluster = b.LocalCluster
		o.Home = config.Locality{Region: b.Node.Region, Zone: b.Node.Zone, SubZone: b.Node.SubZone}
	}
	return upstream.NewManager(o)
}
