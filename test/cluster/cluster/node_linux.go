package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/test/cluster/component"
	"github.com/pillion-mesh/pillion/test/cluster/dns"
	"github.com/pillion-mesh/pillion/test/cluster/node"
	"github.com/pillion-mesh/pillion/test/cluster/state"
	"github.com/pillion-mesh/pillion/test/cluster/supervise"
)

// startNode is what init does on a node, where it's PID 1 of new namespaces.
func (i *boot) startNode(ctx context.Context) error {
	if err := i.progress.Step("namespaces and network", func(func(string)) error { return i.prepareNode() }); err != nil {
		return err
	}
	if err := i.startRelay(); err != nil {
		return err
	}
	containerd, err := i.run(i.Containerd())
	if err != nil {
		return err
	}
	if err := i.startControlPlane(ctx); err != nil {
		return err
	}
	if err := i.importPause(ctx, containerd); err != nil {
		return err
	}
	return i.startWorkers(ctx)
}

func (i *boot) prepareNode() error {
	if err := node.Mount(); err != nil {
		return err
	}
	bridged, err := node.Network(i.DualStack)
	if err != nil {
		return err
	}
	i.CNI = "ptp" // pods on one bridge don't reach services unless netfilter sees bridged packets
	if bridged {
		i.CNI = "bridge"
	}
	i.Snapshotter = snapshotterFor(i.Dir)
	network, err := i.CNIConfig()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(i.Dir.Path("conf", "cni"), 0o700); err != nil {
		return fmt.Errorf("writing configuration: %w", err)
	}
	for name, content := range map[string]string{
		"kubelet.yaml": i.KubeletConfig(), "resolv.conf": i.ResolvConf(), "containerd.toml": i.ContainerdConfig(),
		"cni/10-pillion.conflist": network,
	} {
		if err := os.WriteFile(i.Dir.Path("conf", name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("writing configuration: %w", err)
		}
	}
	return nil
}

// startRelay leads the listener we were given, which is outside, to the API server. It ends with the process.
func (i *boot) startRelay() error {
	file := os.NewFile(fdRelay, "relay")
	listener, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("taking the listener over: %w", err)
	}
	_ = file.Close()
	target := net.JoinHostPort(component.NodeAddress, fmt.Sprint(i.Ports.API))
	go node.Relay(listener, func() (net.Conn, error) { return net.DialTimeout("tcp", target, 5*time.Second) })
	return nil
}

func (i *boot) importPause(ctx context.Context, containerd *supervise.Process) error {
	return i.progress.Step("containerd", func(note func(string)) error {
		err := i.group.Wait(ctx, component.Socket, containerd, note, func(ctx context.Context) error {
			connection, err := (&net.Dialer{}).DialContext(ctx, "unix", component.Socket)
			if err != nil {
				return err
			}
			return connection.Close()
		})
		if err != nil {
			return err
		}
		return i.group.Run(supervise.Command{
			Name: "ctr", Path: i.Programs["ctr"],
			Args: []string{"--address", component.Socket, "--namespace", "k8s.io", "images", "import",
				"--snapshotter", i.Snapshotter, i.Dir.Path("pause.tar")},
		})
	})
}

// startWorkers starts the rest and waits until a pod could run and reach a service.
func (i *boot) startWorkers(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(i.config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	started := map[string]*supervise.Process{}
	for _, command := range []supervise.Command{i.ControllerManagerCommand(), i.Scheduler(), i.Kubelet(), i.Proxy()} {
		if started[command.Name], err = i.run(command); err != nil {
			return err
		}
	}
	if err := i.startDNS(ctx, client); err != nil {
		return err
	}
	for _, wait := range []struct {
		step, component string
		check           func(context.Context) error
	}{
		{"node Ready", "kubelet", func(ctx context.Context) error { return nodeReady(ctx, client) }},
		{"ServiceAccount default", "kube-controller-manager", i.serviceAccount},
		{"service VIP " + component.APIService, "kube-proxy", i.serviceVIP()},
	} {
		err := i.progress.Step(wait.step, func(note func(string)) error {
			return i.group.Wait(ctx, wait.step, started[wait.component], note, wait.check)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func nodeReady(ctx context.Context, client kubernetes.Interface) error {
	n, err := client.CoreV1().Nodes().Get(ctx, component.Node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			if c.Status == corev1.ConditionTrue {
				return nil
			}
			return errors.New(c.Message)
		}
	}
	return errors.New("no condition Ready yet")
}

// serviceVIP asks the API server by its Service's address, which kube-proxy has to translate.
func (i *boot) serviceVIP() func(context.Context) error {
	config := rest.CopyConfig(i.config)
	config.Host = "https://" + component.APIService + ":443"
	// Before kube-proxy's rules are there nobody answers a dial; don't wait for that one.
	config.Dial = (&net.Dialer{Timeout: 100 * time.Millisecond}).DialContext
	return func(ctx context.Context) error { return ready(ctx, config) }
}

// startDNS runs the cluster's DNS in this process.
func (i *boot) startDNS(ctx context.Context, client kubernetes.Interface) error {
	return i.progress.Step("cluster DNS", func(func(string)) error {
		addresses := []string{component.NodeAddress}
		if i.DualStack {
			addresses = append(addresses, component.NodeAddress6)
		}
		if err := dns.Run(ctx, client, component.Domain, addresses); err != nil {
			return err
		}
		if i.Again { // it stands in etcd
			return nil
		}
		return dns.Publish(ctx, client, component.DNSService, component.NodeAddress)
	})
}

// nodeGone waits until no process is left in the node's namespaces, then removes what the kernel doesn't.
func nodeGone(ctx context.Context, dir state.Dir, record state.Record) error {
	if err := node.WaitEmpty(ctx, record.NetNS, killTimeout); err != nil {
		return err
	}
	return node.RemoveCgroups(dir.Path("containerd"))
}
