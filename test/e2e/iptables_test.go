package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/test/cluster/images"
)

// testIptables: with the image that has iptables a pod is captured by iptables-restore, in both families, and its rules
// can be listed with the image's own tools.
func testIptables(t *testing.T, e *env) {
	spec := images.TestVariant()
	image, err := images.BuildWithIptables(deadline(t, 5*time.Minute), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.LoadImages(deadline(t, 5*time.Minute), image); err != nil {
		t.Fatal(err)
	}
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	e.apply(t, namespace, appPod("client")+appPod("server", fmt.Sprintf(`  annotations: {pillion.dev/capture-backend: Iptables, sidecar.istio.io/proxyImage: %q}`, spec.Name)))
	e.ready(t, namespace, "client", "server")
	client, server := e.pod(t, namespace, "client"), e.pod(t, namespace, "server")

	evidence := e.captured(t, namespace, "server")
	if evidence.Backend != "iptables-nft" || evidence.Why != "asked for" || evidence.Result != capture.ResultApplied || evidence.Dialect != "pillion" {
		t.Errorf("istio-init says %+v; want rules applied by iptables-nft", evidence)
	}
	if beside := e.captured(t, namespace, "client"); beside.Backend != capture.Nftables {
		t.Errorf("the pod beside it says %+v; want nftables", beside)
	}
	for i, ip := range server.Status.PodIPs {
		t.Run(family(ip.IP), func(t *testing.T) {
			const n = 5
			destination := e.metrics(t, namespace, "server")
			e.get(t, namespace, "client", "http://"+net.JoinHostPort(ip.IP, "8080")+"/", n)
			e.passed(t, namespace, "server", "destination", destination, n)
			source := e.metrics(t, namespace, "server")
			e.get(t, namespace, "server", "http://"+net.JoinHostPort(client.Status.PodIPs[i].IP, "8080")+"/", n)
			e.passed(t, namespace, "server", "source", source, n)
		})
	}
	// The proxy's container may not read rules; that the image has a shell and the tools it shows.
	seen := e.must(t, "exec", "-n", namespace, "server", "-c", istio.ContainerProxy, "--", "/bin/sh", "-c", "iptables-nft --version; ip6tables-legacy --version")
	if !strings.Contains(seen, "nf_tables") || !strings.Contains(seen, "legacy") {
		t.Errorf("the image's tools say %q", seen)
	}
}

// captured is what a pod's istio-init left as evidence: the last line of its log.
func (e *env) captured(t *testing.T, namespace, pod string) (evidence capture.Evidence) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(e.must(t, "logs", "-n", namespace, pod, "-c", istio.ContainerInit)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &evidence); err != nil {
		t.Fatalf("istio-init of pod %s: %v: %s", pod, err, lines[len(lines)-1])
	}
	return evidence
}
