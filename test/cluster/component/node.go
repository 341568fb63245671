package component

import (
	"encoding/json"
	"fmt"

	"github.com/pillion-mesh/pillion/test/cluster/supervise"
)

// Kubelet reads its configuration file; these flags have no field in it.
func (l Layout) Kubelet() supervise.Command {
	return l.kube("kubelet",
		"--config="+l.Dir.Path("conf", "kubelet.yaml"),
		"--kubeconfig="+l.Kubeconfig("kubelet"),
		"--hostname-override="+Node,
		"--node-ip="+l.pair(NodeAddress, NodeAddress6),
		"--root-dir="+l.Dir.Path("kubelet"),
	)
}

// KubeletConfig lets the kubelet run beside another one, on either cgroup version, without evicting or collecting
// images, which couldn't be fetched again.
func (l Layout) KubeletConfig() string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
authentication:
  anonymous: {enabled: true}
  webhook: {enabled: false}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
clusterDNS: [%[2]s]
clusterDomain: %[3]s
containerRuntimeEndpoint: unix://%[4]s
enforceNodeAllocatable: []
evictionHard: {imagefs.available: 0%%, memory.available: 0%%, nodefs.available: 0%%, nodefs.inodesFree: 0%%}
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
kubeAPIBurst: 1000
kubeAPIQPS: 500
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
podLogsDir: %[5]s
readOnlyPort: 0
resolvConf: %[6]s
serializeImagePulls: false
volumePluginDir: %[7]s
`, NodeAddress, DNSService, Domain, Socket, l.Dir.Path("pod-logs"), l.Dir.Path("conf", "resolv.conf"), l.Dir.Path("volume-plugins"))
}

// ResolvConf is for pods that take the node's DNS. The host's may point into /run, which the node doesn't see.
func (l Layout) ResolvConf() string { return "nameserver " + NodeAddress + "\n" }

// Proxy leaves conntrack's size alone, for it's the machine's.
func (l Layout) Proxy() supervise.Command {
	return l.kube("kube-proxy",
		"--kubeconfig="+l.Kubeconfig("kube-proxy"),
		"--hostname-override="+Node,
		"--proxy-mode=nftables",
		"--cluster-cidr="+l.pair(ClusterRange, ClusterRange6),
		"--conntrack-max-per-core=0",
		"--healthz-bind-address=127.0.0.1:10256",
		"--metrics-bind-address=127.0.0.1:10249",
	)
}

// Containerd keeps everything in the state folder and in the node's own /run.
func (l Layout) Containerd() supervise.Command {
	return supervise.Command{
		Name: "containerd", Path: l.Programs["containerd"],
		Args: []string{"--config=" + l.Dir.Path("conf", "containerd.toml"), "--log-level=info"},
	}
}

// ContainerdConfig is a version 2 file, which containerd 2 still reads. restrict_oom_score_adj: without
// CAP_SYS_RESOURCE containers don't start otherwise.
func (l Layout) ContainerdConfig() string {
	return fmt.Sprintf(`version = 2
root = %[1]q
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = %[2]q

[plugins."io.containerd.internal.v1.opt"]
  path = %[3]q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[4]q
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = %[5]q
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = %[6]q
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %[7]q
    conf_dir = %[8]q
`, l.Dir.Path("containerd"), Socket, l.Dir.Path("opt"), PauseImage, l.Snapshotter, l.Programs["runc"], l.CNIFolder, l.Dir.Path("conf", "cni"))
}

// CNIConfig is the pods' network: no masquerade, for there's no way out.
func (l Layout) CNIConfig() (string, error) {
	ranges := [][]map[string]string{{{"subnet": PodRange}}}
	routes := []map[string]string{{"dst": "0.0.0.0/0"}}
	if l.DualStack {
		ranges = append(ranges, []map[string]string{{"subnet": PodRange6}})
		routes = append(routes, map[string]string{"dst": "::/0"})
	}
	network := map[string]any{
		"type": l.CNI, "ipMasq": false,
		"ipam": map[string]any{"type": "host-local", "ranges": ranges, "routes": routes},
	}
	if l.CNI == "bridge" {
		network["bridge"], network["isGateway"] = "cni0", true
		network["hairpinMode"] = true // a pod may be its own service's backend
	}
	list := map[string]any{
		"cniVersion": "1.0.0", "name": "pillion",
		"plugins": []any{network, map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}}},
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing the network plugin's configuration: %w", err)
	}
	return string(data) + "\n", nil
}
