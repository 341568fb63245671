package component

import (
	"fmt"
	"strconv"

	"github.com/pillion-mesh/pillion/test/cluster/supervise"
)

// Etcd doesn't sync to disk: a test cluster's data needn't survive a power cut.
func (l Layout) Etcd() supervise.Command {
	client := "http://127.0.0.1:" + strconv.Itoa(l.Ports.Etcd)
	peer := "http://127.0.0.1:" + strconv.Itoa(l.Ports.EtcdPeer)
	return supervise.Command{Name: "etcd", Path: l.Programs["etcd"], Args: []string{
		"--name=pillion",
		"--data-dir=" + l.Dir.Path("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=pillion=" + peer,
		"--unsafe-no-fsync",
		"--logger=zap",
		"--log-level=warn",
	}}
}

// APIServer is the same in both modes but for addresses, audit and what needs a node or controllers.
func (l Layout) APIServer() supervise.Command {
	args := []string{
		"--bind-address=" + l.Address(),
		"--advertise-address=" + l.Address(),
		"--secure-port=" + strconv.Itoa(l.Ports.API),
		"--etcd-servers=http://127.0.0.1:" + strconv.Itoa(l.Ports.Etcd),
		"--service-cluster-ip-range=" + l.pair(ServiceRange, ServiceRange6),
		"--authorization-mode=Node,RBAC",
		"--allow-privileged=true",
		"--client-ca-file=" + l.cert("ca"),
		"--tls-cert-file=" + l.cert("apiserver"),
		"--tls-private-key-file=" + l.key("apiserver"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + l.cert("service-accounts"),
		"--service-account-signing-key-file=" + l.key("service-accounts"),
		"--audit-policy-file=" + l.Dir.Path("conf", "audit.yaml"),
		"--audit-log-path=" + l.Dir.Log("audit"),
		"--audit-log-mode=batch",
	}
	return l.kube("kube-apiserver", append(args, l.apiServerMode()...)...)
}

func (l Layout) apiServerMode() []string {
	if !l.APIOnly {
		// Without InternalIP first, logs and exec look up the node's name.
		return []string{"--enable-admission-plugins=NodeRestriction", "--kubelet-preferred-address-types=InternalIP"}
	}
	// Endpoints may not hold a loopback address, so nothing reconciles those of Service kubernetes.
	args := []string{"--endpoint-reconciler-type=none"}
	if !l.ControllerManager {
		// Nobody makes the ServiceAccount "default" that this plugin asks of every pod.
		args = append(args, "--disable-admission-plugins=ServiceAccount")
	}
	return args
}

// ControllerManagerCommand elects no leader: it would exit when the API server is late.
func (l Layout) ControllerManagerCommand() supervise.Command {
	args := []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(l.Ports.ControllerManager),
		"--kubeconfig=" + l.Kubeconfig("controller-manager"),
		"--leader-elect=false",
		"--kube-api-qps=1000", "--kube-api-burst=2000", // the default of 20 costs seconds at the start
		"--flex-volume-plugin-dir=" + l.Dir.Path("volume-plugins"),
		"--use-service-account-credentials=true",
		"--root-ca-file=" + l.cert("ca"),
		"--service-account-private-key-file=" + l.key("service-accounts"),
		"--cluster-signing-cert-file=" + l.cert("ca"),
		"--cluster-signing-key-file=" + l.key("ca"),
	}
	if !l.APIOnly {
		args = append(args, "--cluster-cidr="+l.pair(ClusterRange, ClusterRange6))
	}
	return l.kube("kube-controller-manager", args...)
}

// Scheduler elects no leader either.
func (l Layout) Scheduler() supervise.Command {
	return l.kube("kube-scheduler", "--bind-address=127.0.0.1", "--kubeconfig="+l.Kubeconfig("scheduler"), "--leader-elect=false",
		"--kube-api-qps=1000", "--kube-api-burst=2000")
}

// CertManagerCommand is its controllers and its CA injector.
func (l Layout) CertManagerCommand() supervise.Command {
	return supervise.Command{Name: "cert-manager", Path: l.CertManager, Args: []string{"--kubeconfig=" + l.Kubeconfig("cert-manager")}}
}

// AuditPolicy logs what tests want to see afterwards: pods with their bodies, other writes by name.
func (l Layout) AuditPolicy() string {
	return fmt.Sprintf(`apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [%q]
- level: RequestResponse
  verbs: [create, update, patch, delete]
  resources: [{group: "", resources: [pods]}]
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
`, "system:apiserver")
}
