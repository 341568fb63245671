// Package e2e proves on a real node (kubelet, containerd, kube-proxy) what unit and integration tests can't: that an
// injected pod runs, that its traffic passes the sidecars, and that the operator can be replaced under load.
//
// TestNode installs Pillion once, as the README says, and runs everything below it on that installation.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
	"github.com/pillion-mesh/pillion/test/install"
)

// env is an installation under test.
type env struct {
	*testenv.Cluster
	kubectl install.Kubectl
	cli     string // the pillion command
	sidecar string // pillion-sidecar, for what people call by hand
	capture string // pillion-capture, which that runs
}

// part is one thing shown on the installation.
type part struct {
	name string
	run  func(*testing.T, *env)
}

func TestNode(t *testing.T) {
	e := start(t)
	t.Run("Pods", func(t *testing.T) {
		for _, p := range pods {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				p.run(t, e)
			})
		}
	})
	for _, p := range installation {
		t.Run(p.name, func(t *testing.T) { p.run(t, e) })
	}
}

// pods have a namespace of their own and change nothing outside it, so that they run at the same time.
var pods = []part{
	{"TalkThroughBothSidecars", testTraffic},
	{"ServiceFromOneThatAsked", testService},
	{"TransparentCaptureShowsTheClient", testTransparent},
	{"CaptureByIptables", testIptables},
	{"ProxyFromABootstrap", testBootstrap},
	{"ProxyOverADS", testADS},
	{"ClassicSidecar", testClassic},
	{"JobWithNativeSidecarCompletes", testJob},
	{"ExcludedTrafficStaysOutside", testExcluded},
	{"ProbesOfEveryKindPassTheSidecar", testProbes},
	{"ProbesOfAClassicSidecar", testClassicProbes},
	{"OneScrapeHasAllMetrics", testMergedMetrics},
	{"NeverInjected", testNeverInjected},
	{"BadAnnotationIsDeniedWithItsReason", testDenied},
}

// installation is what changes it, in this order.
var installation = []part{
	{"BadInjectorIsRefusedThroughTheService", testBadInjector},
	{"Documentation", testDocumentation},
	{"FaultyInjectorKeepsTheLastGoodOne", testLastGood},
	{"CAReplacedUnderLoad", testCertificates},
	{"OperatorReplacedUnderLoad", testOperatorReplaced},
	{"ReplicaKilled", testReplicaKilled},
	{"EverythingDownComesBack", testEverythingDown},
	{"UninstalledLeavesNothing", testUninstall}, // the last one
}

// start installs Pillion on a node of its own.
func start(t *testing.T) *env {
	t.Helper()
	cluster := testenv.Start(t, testenv.Options{Node: true, DualStack: true, Name: "e2e"})
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	ctx := deadline(t, 10*time.Minute)
	kubectl, err := install.KubectlFor(ctx, cluster.Cluster, root)
	if err != nil {
		t.Fatal(err)
	}
	if err := install.LoadImages(ctx, cluster.Cluster, os.Stderr); err != nil {
		t.Fatal(err)
	}
	if err := install.Deploy(ctx, kubectl, install.Overlay); err != nil {
		t.Fatal(err)
	}
	return &env{Cluster: cluster, kubectl: kubectl, cli: build(t, root, "."), sidecar: build(t, root, "./sidecar"), capture: build(t, root, "./sidecar/capture")}
}

// build makes a program as the images have it, so that nothing is compiled once more in another way.
func build(t *testing.T, root, pkg string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if err := binary.Build(deadline(t, 5*time.Minute), root, program, pkg); err != nil {
		t.Fatal(err)
	}
	return program
}

// deadline is a context that ends with the test, at the latest after d.
func deadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// must runs kubectl and returns what it prints.
func (e *env) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.kubectl.Run(deadline(t, 6*time.Minute), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply creates the objects of a manifest in a namespace and returns what kubectl says on both streams.
func (e *env) apply(t *testing.T, namespace, manifest string) {
	t.Helper()
	if _, err := e.kubectl.RunWith(deadline(t, time.Minute), []byte(manifest), "apply", "-n", namespace, "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

func (e *env) pod(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	var pod corev1.Pod
	if err := e.kubectl.Get(deadline(t, time.Minute), &pod, "pod", "-n", namespace, name); err != nil {
		t.Fatal(err)
	}
	return &pod
}

// pillion runs the command against the cluster and returns its output and exit code.
func (e *env) pillion(t *testing.T, args ...string) (stdout string, code int) {
	t.Helper()
	cmd := exec.CommandContext(deadline(t, time.Minute), e.cli, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+e.kubectl.Kubeconfig)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("pillion %s: %v", strings.Join(args, " "), err)
	}
	if stderr.Len() > 0 {
		t.Logf("pillion %s: %s", strings.Join(args, " "), stderr.String())
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// eventually polls until check returns nil and fails with its last error after d.
func eventually(t *testing.T, d time.Duration, check func() error) {
	t.Helper()
	end := time.Now().Add(d)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s: %v", d, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
