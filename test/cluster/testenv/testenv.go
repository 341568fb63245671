// Package testenv gives tests a real Kubernetes. Start joins a running cluster that fits, or brings one up and, when no
// test uses it any more, takes it down again. By default that's an API server alone, which needs no root and runs no
// pods; with Node it's a whole node.
//
// Tests that run at the same time, in one package or in several, share the cluster: keep to a Namespace of your own,
// and give the cluster a Name of your own where a test changes what isn't in a namespace (webhook configurations,
// CRDs others use).
package testenv

import (
	"bytes"
	"context"
	"errors"

	"os"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
)

// RequireEnv is the environment variable that, set to 1, turns "skipped: needs root" and "skipped: not installed" into
// failures. CI sets it.
const RequireEnv = "PILLION_REQUIRE_NODE"

// Options say which cluster a test needs.
type Options struct {
	Node              bool   // pods run; needs root on Linux
	ControllerManager bool   // without Node: garbage collection, ServiceAccounts, Deployments make pods
	CertManager       bool   // real cert-manager, and the controller manager: certificates are issued, caBundles injected
	DualStack         bool   // IPv4 and IPv6
	FeatureGates      string // Name=true,…
	Name              string // "": the one all tests with these options share
}

// upTimeout includes a first build of Kubernetes.
const upTimeout = 30 * time.Minute

// Cluster is what a test talks to.
type Cluster struct {
	*cluster.Cluster
	Client kubernetes.Interface
}

// Start returns a running cluster. It skips, or with PILLION_REQUIRE_NODE=1 fails, where this machine can't run it.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), upTimeout)
	defer cancel()
	c, leave, err := cluster.Join(ctx, clusterOptions(o), logWriter{t})
	if impossible(err) && os.Getenv(RequireEnv) != "1" {
		t.Skipf("skipped, no test cluster: %v (%s=1 makes this a failure)", err, RequireEnv)
	}
	if err != nil {
		t.Fatalf("starting a test cluster: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := leave(ctx); err != nil {
			t.Errorf("taking the test cluster down: %v", err)
		}
	})
	return wrap(t, c)
}

// Open returns the cluster called name, which somebody else started and takes down.
func Open(t testing.TB, name string) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := cluster.Open(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(t, c)
}

func wrap(t testing.TB, c *cluster.Cluster) *Cluster {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}
	return &Cluster{Cluster: c, Client: client}
}

func impossible(err error) bool {
	var missing *binary.Missing
	return errors.Is(err, cluster.ErrNeedsRoot) || errors.As(err, &missing)
}

func clusterOptions(o Options) cluster.Options {
	return cluster.Options{
		Name: o.Name, APIOnly: !o.Node, ControllerManager: o.ControllerManager, CertManager: o.CertManager,
		DualStack: o.DualStack, FeatureGates: o.FeatureGates,
	}
}

// logWriter shows progress in the test's log.
type logWriter struct{ t testing.TB }

func (w logWriter) Write(b []byte) (int, error) {
	w.t.Helper()
	w.t.Log(string(bytes.TrimSuffix(b, []byte("\n"))))
	return len(b), nil
}
