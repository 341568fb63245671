// Package component writes down how each part of the test cluster is run: flags, configuration files, certificates'
// subjects. It is pure: in goes a Layout, out come commands and file contents, compared with golden files. Start with
// Layout; control.go has the control plane, node.go kubelet, kube-proxy, containerd and the network plugin.
package component

import (
	"net"
	"strconv"

	"github.com/pillion-mesh/pillion/test/cluster/pki"
	"github.com/pillion-mesh/pillion/test/cluster/state"
	"github.com/pillion-mesh/pillion/test/cluster/supervise"
)

// Addresses of a node cluster. 198.18.0.0/15 is the benchmarking range (RFC 2544), used by nobody.
const (
	NodeAddress   = "198.18.255.1"
	NodeAddress6  = "fd00:198:18:ffff::1"
	PodRange      = "198.18.0.0/24"
	PodRange6     = "fd00:198:18::/64"
	ClusterRange  = "198.18.0.0/16"
	ClusterRange6 = "fd00:198:18::/56"
	ServiceRange  = "198.19.0.0/16"
	ServiceRange6 = "fd00:198:19::/112"
	APIService    = "198.19.0.1" // the first of ServiceRange is Service default/kubernetes
	DNSService    = "198.19.0.10"
	Node          = "node1"
	Domain        = "cluster.local"
)

// Socket is containerd's, inside the node's mount namespace.
const Socket = "/run/containerd/containerd.sock"

// PauseImage holds a pod's namespaces open.
const PauseImage = "localhost/pause:1"

// Layout is one cluster: where its files are, which programs it runs, on which addresses.
type Layout struct {
	Dir               state.Dir         `json:"dir"`
	Kube              string            `json:"kube"`     // the multi-call binary
	Programs          map[string]string `json:"programs"` // of the distribution, name -> path
	APIOnly           bool              `json:"apiOnly"`
	ControllerManager bool              `json:"controllerManager"`
	DualStack         bool              `json:"dualStack"`
	FeatureGates      string            `json:"featureGates"`
	CertManager       string            `json:"certManager"`     // its program; "": without
	CertManagerCRDs   string            `json:"certManagerCRDs"` // a file of them
	Ports             Ports             `json:"ports"`
	Snapshotter       string            `json:"snapshotter"` // overlayfs or native
	CNI               string            `json:"cni"`         // bridge or ptp
	CNIFolder         string            `json:"cniFolder"`
	Again             bool              `json:"again"` // after a power cut: the files are those of before
}

// Ports are fixed on a node, which has a network of its own, and free ones in API-only mode.
type Ports struct {
	Etcd, EtcdPeer, API, ControllerManager int
}

// NodePorts are the usual ones.
func NodePorts() Ports { return Ports{Etcd: 2379, EtcdPeer: 2380, API: 6443, ControllerManager: 10257} }

// Address is the API server's.
func (l Layout) Address() string {
	if l.APIOnly {
		return "127.0.0.1"
	}
	return NodeAddress
}

// Server is the API server's URL as its components use it.
func (l Layout) Server() string {
	return "https://" + net.JoinHostPort(l.Address(), strconv.Itoa(l.Ports.API))
}

// Subjects are the certificates a cluster needs, by file name.
func (l Layout) Subjects() map[string]pki.Subject {
	subjects := map[string]pki.Subject{
		"apiserver": {Name: "kube-apiserver", Hosts: []string{
			NodeAddress, APIService, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc." + Domain}},
		"admin":              {Name: "admin", Groups: []string{"system:masters"}},
		"controller-manager": {Name: "system:kube-controller-manager"},
		"scheduler":          {Name: "system:kube-scheduler"},
		"kubelet":            {Name: "system:node:" + Node, Groups: []string{"system:nodes"}},
		"kube-proxy":         {Name: "system:kube-proxy"},
	}
	if l.CertManager != "" {
		subjects["cert-manager"] = pki.Subject{Name: "cert-manager", Groups: []string{"system:masters"}}
	}
	return subjects
}

// Kubeconfig is the path of a component's.
func (l Layout) Kubeconfig(subject string) string { return l.Dir.Path("pki", subject+".kubeconfig") }

func (l Layout) cert(name string) string { return l.Dir.Path("pki", name+".crt") }
func (l Layout) key(name string) string  { return l.Dir.Path("pki", name+".key") }

// kube is a command of the multi-call binary.
func (l Layout) kube(program string, args ...string) supervise.Command {
	if l.FeatureGates != "" {
		args = append(args, "--feature-gates="+l.FeatureGates)
	}
	return supervise.Command{Name: program, Path: l.Kube, Args: append([]string{program}, args...)}
}

// pair joins the two families' values where both are on.
func (l Layout) pair(v4, v6 string) string {
	if l.DualStack {
		return v4 + "," + v6
	}
	return v4
}
