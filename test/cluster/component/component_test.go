package component

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pillion-mesh/pillion/test/cluster/supervise"
)

func TestGolden(t *testing.T) {
	programs := map[string]string{"etcd": "/usr/bin/etcd", "containerd": "/usr/bin/containerd", "runc": "/usr/sbin/runc"}
	node := Layout{Dir: "/state", Kube: "/kube", Programs: programs, Ports: NodePorts(), Snapshotter: "overlayfs", CNI: "bridge", CNIFolder: "/usr/lib/cni"}
	dual := node
	dual.DualStack, dual.CNI, dual.FeatureGates = true, "ptp", "A=true"
	api := Layout{Dir: "/state", Kube: "/kube", Programs: programs, APIOnly: true, Ports: Ports{1, 2, 3, 4}}
	controllers := api
	controllers.ControllerManager, controllers.CertManager = true, "/certmanager"
	for name, layout := range map[string]Layout{"node": node, "dual-stack": dual, "api": api, "api-controllers": controllers} {
		t.Run(name, func(t *testing.T) { compare(t, name, describe(t, layout)) })
	}
}

func describe(t *testing.T, l Layout) string {
	var out strings.Builder
	commands := []supervise.Command{l.Etcd(), l.APIServer(), l.ControllerManagerCommand()}
	if !l.APIOnly {
		commands = append(commands, l.Scheduler(), l.Kubelet(), l.Proxy(), l.Containerd())
	}
	if l.CertManager != "" {
		commands = append(commands, l.CertManagerCommand())
	}
	for _, c := range commands {
		_, _ = fmt.Fprintf(&out, "%s: %s\n  %s\n\n", c.Name, c.Path, strings.Join(c.Args, "\n  "))
	}
	_, _ = fmt.Fprintf(&out, "audit.yaml\n%s\n", l.AuditPolicy())
	if l.APIOnly {
		return out.String()
	}
	network, err := l.CNIConfig()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(&out, "kubelet.yaml\n%s\ncontainerd.toml\n%s\nresolv.conf\n%s\ncni\n%s", l.KubeletConfig(), l.ContainerdConfig(), l.ResolvConf(), network)
	return out.String()
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with: go test ./test/cluster/component -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("differs from %s (- want, + got; -update writes it):\n%s", path, diff)
	}
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write golden files")
	flag.Parse()
	os.Exit(m.Run())
}
