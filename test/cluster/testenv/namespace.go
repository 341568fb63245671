package testenv

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Namespace makes a fresh namespace for t, with labels if given, and deletes it at the end. If t failed, it first keeps
// evidence: see EvidenceEnv. Without a controller manager
// its content stays until the cluster goes.
func (c *Cluster) Namespace(t testing.TB, labels ...map[string]string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix(t.Name()), Labels: map[string]string{}}}
	for _, more := range labels {
		for k, v := range more {
			namespace.Labels[k] = v
		}
	}
	made, err := c.Client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("making a namespace: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.evidence(t, made.Name)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		now := int64(0)
		err := c.Client.CoreV1().Namespaces().Delete(ctx, made.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		if err != nil {
			t.Errorf("deleting namespace %s: %v", made.Name, err)
		}
	})
	return made.Name
}

// prefix turns a test's name into the start of a namespace's.
func prefix(test string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(test))
	return strings.Trim(name[:min(len(name), 40)], "-") + "-"
}
