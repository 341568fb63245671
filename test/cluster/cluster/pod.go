package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// InPodNetwork runs one of this machine's programs in a pod's network namespace and returns what it printed. One of the
// pod's containers must be running.
func (c *Cluster) InPodNetwork(ctx context.Context, namespace, pod, name string, args ...string) (string, error) {
	if c.Record.APIOnly {
		return "", errNoNode
	}
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return "", fmt.Errorf("making a client: %w", err)
	}
	found, err := client.CoreV1().Pods(namespace).Get(ctx, pod, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("looking for pod %s/%s: %w", namespace, pod, err)
	}
	ids := containerIDs(found)
	for _, id := range ids {
		if pid := containerPID(id); pid > 0 {
			return output(c.command(ctx, []string{"-m", "-p", fmt.Sprintf("--net=/proc/%d/ns/net", pid)}, name, args...))
		}
	}
	return "", fmt.Errorf("pod %s/%s has no running container (of %d)", namespace, pod, len(ids))
}

func containerIDs(pod *corev1.Pod) []string {
	var ids []string
	statuses := slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses, pod.Status.EphemeralContainerStatuses)
	for _, s := range statuses {
		if _, id, ok := strings.Cut(s.ContainerID, "://"); ok && s.State.Running != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// ListenInside opens a listener where the API server can reach it.
func (c *Cluster) ListenInside() (net.Listener, error) {
	if c.Record.APIOnly {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	listener, err := listenInNode(c.Record)
	if err != nil {
		return nil, fmt.Errorf("listening inside the node: %w", err)
	}
	return listener, nil
}
