package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// probedPod is a pod whose server is asked in every way there is. A container has room for three probes, and all share
// the pod's network, so the others only carry some.
const probedPod = `
apiVersion: v1
kind: Pod
metadata:
  name: probed
  labels: {app: probed}
  annotations: {prometheus.io/scrape: "true", prometheus.io/port: "8080", sidecar.istio.io/nativeSidecar: "NATIVE"}
spec:
  terminationGracePeriodSeconds: 5
  securityContext: {runAsUser: 1000}
  containers:
  - name: app
    image: localhost/app:1
    imagePullPolicy: IfNotPresent
    args: [health]
    ports: [{name: web, containerPort: 8080}]
    startupProbe: {httpGet: {path: /started, port: web}, periodSeconds: 1, failureThreshold: 60}
    livenessProbe: {tcpSocket: {port: 9001}, periodSeconds: 1}
    readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1, failureThreshold: 1}
    lifecycle: {preStop: {httpGet: {path: /stop, port: web}}}
  - name: second
    image: localhost/app:1
    imagePullPolicy: IfNotPresent
    args: [sleep]
    startupProbe: {grpc: {port: 8080}, periodSeconds: 1, failureThreshold: 60}
    livenessProbe: {grpc: {port: 8080, service: shop}, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 1}
    readinessProbe: {httpGet: {path: /secure, port: 8443, scheme: HTTPS}, periodSeconds: 1}
    lifecycle: {postStart: {httpGet: {path: /warm, port: 8080}}}
  - name: third
    image: localhost/app:1
    imagePullPolicy: IfNotPresent
    args: [sleep]
    livenessProbe: {httpGet: {path: /host, port: 8080, host: 127.0.0.1}, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 5}
    lifecycle: {preStop: {httpGet: {path: /third-stops, port: 8080}}}
`

// testProbes: the kubelet's own probes of every kind reach the application through the sidecar, and so do their answers.
func testProbes(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	e.apply(t, namespace, strings.ReplaceAll(probedPod, "NATIVE", "true"))
	e.must(t, "wait", "pod/probed", "-n", namespace, "--for=condition=Ready", "--timeout=120s")
	e.askedThroughSidecar(t, namespace, "started", "tcp", "ready", "grpc ", "grpc shop", "secure", "warm", "host")

	e.failFromNow(t, namespace, "ready")
	e.must(t, "wait", "pod/probed", "-n", namespace, "--for=condition=Ready=False", "--timeout=60s")
	e.failFromNow(t, namespace, "grpc%20shop")
	eventually(t, time.Minute, func() error {
		return restarted(e.pod(t, namespace, "probed"), "second")
	})
	e.failFromNow(t, namespace, "host")
	e.askedThroughSidecar(t, namespace, "third-stops") // before it is restarted
	e.hookedAtTheEnd(t, namespace)
}

// hookedAtTheEnd deletes the pod: the application hears of its own preStop hook, through the sidecar, before SIGTERM,
// although the sidecar is ending too. What it was asked can't be asked any more, so its log tells.
func (e *env) hookedAtTheEnd(t *testing.T, namespace string) {
	t.Helper()
	var log string
	var read sync.WaitGroup
	following := deadline(t, 2*time.Minute)
	read.Go(func() { log, _ = e.kubectl.Run(following, "logs", "-n", namespace, "probed", "-c", "app", "--follow") })
	e.must(t, "delete", "pod", "-n", namespace, "probed", "--timeout=60s")
	read.Wait()
	hook, term := strings.Index(log, `{"asked":"stop","from":"`+istio.PassthroughV4+`:`), strings.Index(log, `{"ending":true}`)
	if hook < 0 || term < hook {
		t.Errorf("the log of the application isn't that of a preStop hook from %s and then SIGTERM:\n%s", istio.PassthroughV4, log)
	}
}

func (e *env) failFromNow(t *testing.T, namespace, name string) {
	t.Helper()
	e.must(t, "exec", "-n", namespace, "probed", "-c", "app", "--", "/usr/local/bin/app", "get", "http://127.0.0.1:8080/fail/"+name)
}

// testClassicProbes: without hooks that would run before the sidecar does.
func testClassicProbes(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	manifest := strings.ReplaceAll(probedPod, "    lifecycle: {postStart: {httpGet: {path: /warm, port: 8080}}}\n", "")
	e.apply(t, namespace, strings.ReplaceAll(manifest, "NATIVE", "false"))
	e.must(t, "wait", "pod/probed", "-n", namespace, "--for=condition=Ready", "--timeout=120s")
	e.askedThroughSidecar(t, namespace, "started", "tcp", "ready", "grpc ", "grpc shop", "secure", "host")
	if err := restarted(e.pod(t, namespace, "probed"), "app"); err == nil {
		t.Error("the application was restarted: a probe failed before the sidecar was there")
	}
	e.hookedAtTheEnd(t, namespace)
}

// askedThroughSidecar checks who asked: the agent calls from an address of its own, the kubelet from the node's.
func (e *env) askedThroughSidecar(t *testing.T, namespace string, names ...string) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		out := e.must(t, "exec", "-n", namespace, "probed", "-c", "app", "--", "/usr/local/bin/app", "get", "http://127.0.0.1:8080/asked")
		var asked map[string]string
		if err := json.Unmarshal([]byte(out), &asked); err != nil {
			return fmt.Errorf("reading %q: %w", out, err)
		}
		var wrong []error
		for _, name := range names {
			if from := asked[name]; !strings.HasPrefix(from, istio.PassthroughV4+":") {
				wrong = append(wrong, fmt.Errorf("%q was asked for from %q, want from %s", name, from, istio.PassthroughV4))
			}
		}
		return errors.Join(wrong...)
	})
}

// testMergedMetrics: one scrape has the agent's metrics, the proxy's and the application's, where annotations lead to.
func testMergedMetrics(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	e.apply(t, namespace, strings.ReplaceAll(probedPod, "NATIVE", "true"))
	e.must(t, "wait", "pod/probed", "-n", namespace, "--for=condition=Ready", "--timeout=120s")
	annotations := e.pod(t, namespace, "probed").Annotations
	page := fmt.Sprintf("/api/v1/namespaces/%s/pods/probed:%s/proxy%s", namespace, annotations["prometheus.io/port"], annotations["prometheus.io/path"])
	out := e.must(t, "get", "--raw", page)
	for _, want := range []string{"\npillion_agent_ready 1", "\nenvoy_listener_downstream_cx_total{", "\napp_asked_total{name=\"ready\"}"} {
		if !strings.Contains("\n"+out, want) {
			t.Errorf("%s has no %q:\n%s", page, want, out)
		}
	}
}

func restarted(pod *corev1.Pod, container string) error {
	i := slices.IndexFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == container })
	if i < 0 || pod.Status.ContainerStatuses[i].RestartCount == 0 {
		return fmt.Errorf("container %s wasn't restarted, want it to be: its liveness probe fails", container)
	}
	return nil
}
