package sidecar

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pillion-mesh/pillion/internal/agent"
)

// TestNodeOfBootstrap: what a bootstrap doesn't say of its node the pod does, and both peers and the control plane are
// told the same.
func TestNodeOfBootstrap(t *testing.T) {
	pod := []string{"POD_NAME=pay-1", "POD_NAMESPACE=shop", "INSTANCE_IP=10.0.0.7", "ISTIO_META_WORKLOAD_NAME=pay", "ISTIO_META_OWNER=kubernetes://o", "CANONICAL_SERVICE=pay"}
	const id = "sidecar~10.0.0.7~pay-1.shop~shop.svc.cluster.local"
	for _, c := range []struct {
		name, bootstrap        string
		env                    []string
		id, cluster, workload  string
		tells, tellsOf, tellOn string // peers: node, name, owner
	}{
		{"nothing", "admin: {}", pod, id, "pay.shop", "pay", id, "pay-1", "kubernetes://o"},
		{"its own id", "node: {id: mine}", pod, "mine", "pay.shop", "pay", "mine", "pay-1", "kubernetes://o"},
		{"its own metadata", "node: {metadata: {WORKLOAD_NAME: other}}", pod, id, "pay.shop", "other", id, "pay-1", "kubernetes://o"},
		{"no pod", "node: {id: mine, cluster: c}", nil, "mine", "c", "", "mine", "", ""},
		{"no pod and no node", "admin: {}", nil, "", "", "", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "bootstrap.yaml")
			if err := os.WriteFile(file, []byte(c.bootstrap), 0o600); err != nil {
				t.Fatal(err)
			}
			s, _, err := agent.Load(nil, append([]string{"ISTIO_BOOTSTRAP_OVERRIDE=" + file}, c.env...), nil)
			if err != nil {
				t.Fatal(err)
			}
			for from, flags := range map[string]*proxyFlags{"file": {}, "flag": {YAML: c.bootstrap}} {
				b, err := flags.readBootstrap(s)
				if err != nil {
					t.Fatal(err)
				}
				workload, _ := b.Node.Metadata["WORKLOAD_NAME"].(string)
				if b.Node.ID != c.id || b.Node.Cluster != c.cluster || workload != c.workload || len(b.Node.Raw) == 0 && c.id != "" {
					t.Errorf("%s: node %+v", from, b.Node)
				}
				if got := self(s, b); got.NodeID != c.tells || got.Name != c.tellsOf || got.Owner != c.tellOn || got.Service != c.cluster {
					t.Errorf("%s: peers are told %+v", from, got)
				}
			}
		})
	}
	s, _, err := agent.Load(nil, pod, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := (&proxyFlags{}).readBootstrap(s); b != nil || err != nil {
		t.Errorf("without a bootstrap there is %+v, %v", b, err)
	}
}

// TestProxyIsTheAgentsNode: what only the agent's flags say comes to the proxy too.
func TestProxyIsTheAgentsNode(t *testing.T) {
	env := []string{"POD_NAME=gw", "POD_NAMESPACE=edge"}
	s, _, err := agent.Load([]string{"router", "--domain=edge.svc.example.org", "--serviceCluster=door"}, env, nil)
	if err != nil {
		t.Fatal(err)
	}
	name, args := called(append(proxyCommand(s), "--control-fd=3"))
	child, _, err := agent.Load(args, env, nil)
	if got, want := child.Node(), s.Node(); name != "proxy" || err != nil || got.ID != "router~~gw.edge~edge.svc.example.org" || got.ID != want.ID || got.Cluster != want.Cluster {
		t.Errorf("%s is %+v, the agent %+v: %v", name, got, want, err)
	}
}
