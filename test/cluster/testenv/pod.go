package testenv

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// InPod runs one of this machine's programs in the pod's network namespace and returns what it printed.
func (c *Cluster) InPod(t testing.TB, pod *corev1.Pod, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := c.InPodNetwork(ctx, pod.Namespace, pod.Name, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Kubectl runs kubectl as the administrator and returns what it printed. standardInput may be "".
func (c *Cluster) Kubectl(t testing.TB, standardInput string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	command := c.Command(ctx, "kubectl", args...)
	command.Stdin = strings.NewReader(standardInput)
	out, err := command.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// WaitPod waits until done says so of the pod, and fails the test after timeout with the pod's state.
func (c *Cluster) WaitPod(t testing.TB, namespace, name string, timeout time.Duration, done func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for {
		pod, err := c.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && done(pod) {
			return pod
		}
		select {
		case <-ctx.Done():
			t.Fatalf("pod %s/%s isn't as wanted after %s (error %v): %+v", namespace, name, timeout, err, pod.Status)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// Ready is a condition for WaitPod.
func Ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Finished is one too.
func Finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
