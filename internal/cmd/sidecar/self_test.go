package sidecar

import (
	"testing"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// TestSelf: the proxy is who the bootstrap's node says, as far as it says it.
func TestSelf(t *testing.T) {
	settings := agent.Settings{
		PodName: "web-1", PodNamespace: "shop", PodIP: "10.0.0.1", Workload: "web", App: "web", Version: "v1",
		CanonicalService: "web", CanonicalRevision: "v1", ClusterID: "c1", Owner: "kubernetes://web",
	}
	fromEnvironment := filter.Self{
		Peer: stream.Peer{
			Workload: "web", Namespace: "shop", App: "web", Version: "v1", CanonicalService: "web", CanonicalRevision: "v1", Cluster: "c1",
		},
		NodeID: "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local", Name: "web-1", Owner: "kubernetes://web", Service: "web.shop",
	}
	fromNode := filter.Self{
		Peer: stream.Peer{
			Workload: "w", Namespace: "n", App: "a", Version: "v", CanonicalService: "s", CanonicalRevision: "r", Cluster: "c",
		},
		NodeID: "sidecar~1", Name: "p", Owner: "o", Service: "a.n",
	}
	partly := fromEnvironment
	partly.NodeID, partly.Workload = "sidecar~1", "w"
	for name, c := range map[string]struct {
		settings agent.Settings
		node     *xds.Node
		want     filter.Self
	}{
		"no bootstrap":      {settings, nil, fromEnvironment},
		"an empty node":     {settings, &xds.Node{}, fromEnvironment},
		"some of it":        {settings, &xds.Node{ID: "sidecar~1", Metadata: map[string]any{"WORKLOAD_NAME": "w", "NAME": 7}}, partly},
		"nothing is known":  {agent.Settings{}, &xds.Node{}, filter.Self{}},
		"all by bootstrap ": {settings, wholeNode(), fromNode},
	} {
		t.Run(name, func(t *testing.T) {
			var b *xds.BootstrapConfig
			if c.node != nil {
				b = &xds.BootstrapConfig{Node: *c.node}
			}
			if got := self(c.settings, b); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func wholeNode() *xds.Node {
	return &xds.Node{ID: "sidecar~1", Cluster: "a.n", Metadata: map[string]any{
		"WORKLOAD_NAME": "w", "NAMESPACE": "n", "CLUSTER_ID": "c", "NAME": "p", "OWNER": "o",
		"LABELS": map[string]any{
			"app": "a", "version": "v", "service.istio.io/canonical-name": "s", "service.istio.io/canonical-revision": "r",
		},
	}}
}
