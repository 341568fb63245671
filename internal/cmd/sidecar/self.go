package sidecar

import (
	"cmp"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/peermetadata"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/version"
)

// self is what the proxy says of its workload to peers, and in metrics: what the bootstrap's node says, else the
// environment. b may be nil.
func self(s agent.Settings, b *xds.BootstrapConfig) filter.Self {
	own := s.Node()
	me := filter.Self{
		Peer: stream.Peer{
			Workload: s.Workload, Namespace: s.PodNamespace, App: s.App, Version: s.Version,
			CanonicalService: s.CanonicalService, CanonicalRevision: s.CanonicalRevision, Cluster: s.ClusterID,
		},
		NodeID: own.ID, Name: s.PodName, Owner: s.Owner, Service: own.Cluster,
	}
	if b == nil {
		return me
	}
	node, told := b.Node, peermetadata.Peer(b.Node.Metadata)
	me.Workload, me.Namespace = cmp.Or(told.Workload, me.Workload), cmp.Or(told.Namespace, me.Namespace)
	me.App, me.Version = cmp.Or(told.App, me.App), cmp.Or(told.Version, me.Version)
	me.CanonicalService = cmp.Or(told.CanonicalService, me.CanonicalService)
	me.CanonicalRevision = cmp.Or(told.CanonicalRevision, me.CanonicalRevision)
	me.Cluster, me.NodeID, me.Service = cmp.Or(told.Cluster, me.Cluster), cmp.Or(node.ID, me.NodeID), cmp.Or(node.Cluster, me.Service)
	name, _ := node.Metadata["NAME"].(string)
	owner, _ := node.Metadata["OWNER"].(string)
	me.Name, me.Owner = cmp.Or(name, me.Name), cmp.Or(owner, me.Owner)
	return me
}

func labels(me filter.Self) telemetry.Labels {
	return telemetry.Labels{
		Workload: me.Workload, Namespace: me.Namespace, App: me.App, Version: me.Version,
		CanonicalService: me.CanonicalService, CanonicalRevision: me.CanonicalRevision,
		Cluster: me.Cluster, Build: version.Get().Version,
	}
}
