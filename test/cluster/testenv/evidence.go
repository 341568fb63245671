package testenv

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EvidenceEnv names the folder in which failed tests leave theirs; by default pillion-test in the temporary folder.
const EvidenceEnv = "PILLION_TEST_OUTPUT"

// evidence writes what helps to understand why t failed: objects, events, logs of containers and components, rules of
// the node and of each pod, what was asked of the API server in that namespace. What can't be had is left out.
func (c *Cluster) evidence(t testing.TB, namespace string) {
	base := os.Getenv(EvidenceEnv)
	if base == "" {
		base = filepath.Join(os.TempDir(), "pillion-test")
	}
	folder := filepath.Join(base, strings.ReplaceAll(t.Name(), "/", "_")+"-"+time.Now().Format("150405"))
	if err := os.MkdirAll(filepath.Join(folder, "components"), 0o755); err != nil {
		t.Logf("no evidence kept: %v", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c.saveObjects(ctx, folder, namespace)
	if !c.Record.APIOnly {
		c.saveNode(ctx, folder, namespace)
	}
	c.saveLogs(folder, namespace)
	t.Logf("evidence of the failure is in %s", folder)
}

func (c *Cluster) saveObjects(ctx context.Context, folder, namespace string) {
	kinds := "pods,services,endpointslices,configmaps,deployments,replicasets,daemonsets,jobs,serviceaccounts"
	if c.Record.CertManager {
		kinds += ",issuers,certificates,certificaterequests"
	}
	c.save(ctx, folder, "objects.yaml", "kubectl", "get", kinds, "-n", namespace, "-o", "yaml")
	c.save(ctx, folder, "events.txt", "kubectl", "get", "events", "-n", namespace, "--sort-by=.lastTimestamp")
	c.save(ctx, folder, "webhooks.yaml", "kubectl", "get", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "-o", "yaml")
}

func (c *Cluster) saveNode(ctx context.Context, folder, namespace string) {
	c.save(ctx, folder, "node-nft.txt", "nft", "list", "ruleset")
	pods, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, pod := range pods.Items {
		c.savePod(ctx, folder, &pod)
	}
}

func (c *Cluster) savePod(ctx context.Context, folder string, pod *corev1.Pod) {
	if rules, err := c.InPodNetwork(ctx, pod.Namespace, pod.Name, "nft", "list", "ruleset"); err == nil {
		_ = os.WriteFile(filepath.Join(folder, pod.Name+"-nft.txt"), []byte(rules), 0o644)
	}
	for _, container := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		c.save(ctx, folder, pod.Name+"-"+container.Name+".log", "kubectl", "logs", "-n", pod.Namespace, pod.Name, "-c", container.Name)
		c.save(ctx, folder, pod.Name+"-"+container.Name+"-previous.log", "kubectl", "logs", "-p", "-n", pod.Namespace, pod.Name, "-c", container.Name)
	}
}

// save keeps a command's output unless there is none.
func (c *Cluster) save(ctx context.Context, folder, file, name string, args ...string) {
	out, err := c.Command(ctx, name, args...).Output()
	if err == nil && len(out) > 0 {
		_ = os.WriteFile(filepath.Join(folder, file), out, 0o644)
	}
}

// saveLogs copies the components' logs, of the audit log the namespace's lines only.
func (c *Cluster) saveLogs(folder, namespace string) {
	entries, err := os.ReadDir(c.Dir.Logs())
	if err != nil {
		return
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(c.Dir.Logs(), e.Name()))
		if err != nil {
			continue
		}
		if e.Name() == "audit.log" {
			data = linesWith(data, `"namespace":"`+namespace+`"`)
		}
		_ = os.WriteFile(filepath.Join(folder, "components", e.Name()), data, 0o644)
	}
}

func linesWith(data []byte, want string) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, want) {
			out.WriteString(line)
		}
	}
	return []byte(out.String())
}
