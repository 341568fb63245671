package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/test/install"
)

// testNeverInjected: what must not get a sidecar doesn't, whatever it asks for, and check-inject gives the reason.
func testNeverInjected(t *testing.T, e *env) {
	asks := `  annotations: {some: text}`
	for _, test := range []struct {
		name, namespace, spec, reason string
	}{
		{"host network", e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"}), "hostNetwork: true", "host-network"},
		{"Windows", e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"}), "os: {name: windows}", "windows"},
		{"kube-system", "kube-system", "", "system-namespace"},
		{"opted out", e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"}), "opt-out", "pod-opted-out"},
		{"nobody asked", e.Namespace(t), "", "not-selected"},
	} {
		t.Run(test.name, func(t *testing.T) {
			manifest := appPod("never", asks)
			switch {
			case test.spec == "opt-out":
				manifest = strings.Replace(manifest, "labels: {app: never}", `labels: {app: never, sidecar.istio.io/inject: "false"}`, 1)
			case test.spec != "":
				manifest = strings.Replace(manifest, ", securityContext: {runAsUser: 1000}", "", 1) // Windows forbids it
				manifest = strings.Replace(manifest, "spec:\n", "spec:\n  nodeName: node1\n  "+test.spec+"\n", 1)
			}
			if test.reason == "system-namespace" {
				manifest = strings.Replace(manifest, "labels: {app: never}", `labels: {app: never, sidecar.istio.io/inject: "true"}`, 1)
			}
			e.apply(t, test.namespace, manifest)
			t.Cleanup(func() { e.must(t, "delete", "pod", "-n", test.namespace, "never", "--grace-period=0", "--force") })
			pod := e.pod(t, test.namespace, "never")
			if all := append(names(pod.Spec.InitContainers), names(pod.Spec.Containers)...); slices.Contains(all, istio.ContainerProxy) {
				t.Errorf("containers %v: it has a sidecar", all)
			}
			out, code := e.pillion(t, "check-inject", "-n", test.namespace, "never", "-o", "json")
			var check struct {
				Decision struct{ Reasons []struct{ Reason string } }
			}
			if err := json.Unmarshal([]byte(out), &check); err != nil || len(check.Decision.Reasons) == 0 {
				t.Fatalf("check-inject printed %q: %v", out, err)
			}
			if got := check.Decision.Reasons[0].Reason; code != 1 || got != test.reason {
				t.Errorf("check-inject: exit code %d, reason %s; want 1 and %s", code, got, test.reason)
			}
		})
	}
}

// testDenied: a pod is refused only for what its author wrote wrong, and the message says what.
func testDenied(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	bad := appPod("bad", `  annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: "80,x", sidecar.istio.io/proxyCPU: "many"}`)
	_, err := e.kubectl.RunWith(deadline(t, time.Minute), []byte(bad), "apply", "-n", namespace, "-f", "-")
	if err == nil {
		t.Fatal("the pod was created")
	}
	for _, want := range []string{"traffic.sidecar.istio.io/excludeOutboundPorts", `"80,x"`, "sidecar.istio.io/proxyCPU", `"many"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message doesn't name %s: %v", want, err)
		}
	}
}

// testBadInjector: what the CRD's rules can't see is refused by the operator, behind its Service, with the place of the
// fault. Nothing of it is kept.
func testBadInjector(t *testing.T, e *env) {
	bad := `
apiVersion: pillion.dev/v1alpha1
kind: Injector
metadata: {name: bad}
spec:
  revision: bad
  templates:
  - name: mark
    inline: |
      metadata:
        labels:
          mark: ${pod.nmae}
`
	_, err := e.kubectl.RunWith(deadline(t, time.Minute), []byte(bad), "apply", "-f", "-")
	if err == nil {
		t.Fatal("the Injector was created")
	}
	for _, want := range []string{`The Injector "bad" is invalid`, "spec.templates[0].inline: line 3, column 13: metadata.labels.mark"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message has no %q: %v", want, err)
		}
	}
	if out := e.must(t, "get", "injectors", "-o", "name"); strings.Contains(out, "bad") {
		t.Errorf("it is there: %s", out)
	}
}

// testLastGood: a faulty Injector is refused where that is seen at once; one whose ConfigMap is faulty changes nothing but
// its status, and check-inject knows.
func testLastGood(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	_, err := e.kubectl.Run(deadline(t, time.Minute), "patch", "injector", "default", "--type=merge", "-p", `{"spec":{"capture":{"excludeOutboundPorts":"80,x"}}}`)
	if err == nil || !strings.Contains(err.Error(), `"x" is not a port`) {
		t.Errorf("a faulty Injector: %v; want it refused with the fault", err)
	}
	e.must(t, "create", "configmap", "-n", install.Namespace, "broken", "--from-literal=template=spec: {containers: [{nam: x}]}")
	t.Cleanup(func() {
		e.must(t, "patch", "injector", "default", "--type=merge", "-p", `{"spec":{"templates":null,"policy":"OptIn"}}`)
		e.must(t, "wait", "injector/default", "--for=condition=TemplatesReady", "--timeout=30s")
		e.must(t, "delete", "configmap", "-n", install.Namespace, "broken")
	})
	e.must(t, "patch", "injector", "default", "--type=merge", "-p",
		`{"spec":{"templates":[{"name":"broken","configMapRef":{"name":"broken","key":"template"}}],"policy":"OptOut"}}`)
	e.must(t, "wait", "injector/default", "--for=condition=TemplatesReady=False", "--timeout=30s")
	e.apply(t, namespace, appPod("server"))
	if got := names(e.pod(t, namespace, "server").Spec.InitContainers); !slices.Contains(got, istio.ContainerProxy) {
		t.Errorf("init containers %v: the last good Injector should have injected", got)
	}
	out, code := e.pillion(t, "check-inject", "-n", namespace, "server")
	if code != 0 || !strings.Contains(out, "goes on with its last good version") || !strings.Contains(out, "nam: unknown field") {
		t.Errorf("check-inject: exit code %d, want 0 and a note about the last good version:\n%s", code, out)
	}
	if out, code := e.pillion(t, "check-inject", "-n", e.Namespace(t), "-l", "a=b"); code != 1 {
		t.Errorf("check-inject: exit code %d, want 1: policy OptOut is in the faulty version only:\n%s", code, out)
	}
}
