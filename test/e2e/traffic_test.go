package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/test/install"
)

const opened = "istio_tcp_connections_opened_total"

// appPod is a pod that serves HTTP on 8080, with labels and annotations as given.
func appPod(name string, metadata ...string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: %s
  labels: {app: %s}
%s
spec:
  terminationGracePeriodSeconds: 5
  containers: [{name: app, image: "localhost/app:1", imagePullPolicy: IfNotPresent, args: [serve], securityContext: {runAsUser: 1000}}]
---
`, name, name, strings.Join(metadata, "\n"))
}

// answer is what the application says about a request.
type answer struct{ Pod, Remote, Local string }

// get calls a URL n times from a pod's application, each on a connection of its own.
func (e *env) get(t *testing.T, namespace, pod, url string, n int) []answer {
	t.Helper()
	args := []string{"exec", "-n", namespace, pod, "-c", "app", "--", "/usr/local/bin/app", "get"}
	out := e.must(t, append(args, slices.Repeat([]string{url}, n)...)...)
	var answers []answer
	for line := range strings.Lines(out) {
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("reading the answer %q: %v", line, err)
		}
		answers = append(answers, a)
	}
	if len(answers) != n {
		t.Fatalf("%d answers to %d requests: %s", len(answers), n, out)
	}
	return answers
}

func (e *env) metrics(t *testing.T, namespace, pod string) install.Metrics {
	t.Helper()
	m, err := e.kubectl.ProxyMetrics(deadline(t, 30*time.Second), namespace, pod)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// passed waits until a proxy has counted n more connections than before in one direction.
func (e *env) passed(t *testing.T, namespace, pod, reporter string, before install.Metrics, n float64) {
	t.Helper()
	labels := map[string]string{"reporter": reporter}
	eventually(t, 30*time.Second, func() error {
		if more := e.metrics(t, namespace, pod).Sum(opened, labels) - before.Sum(opened, labels); more < n {
			return fmt.Errorf("%s of pod %s rose by %.0f for reporter=%s, want %.0f", opened, pod, more, reporter, n)
		}
		return nil
	})
}

func (e *env) ready(t *testing.T, namespace string, pods ...string) {
	t.Helper()
	for _, pod := range pods {
		if out, err := e.kubectl.Run(deadline(t, 2*time.Minute), "wait", "-n", namespace, "--for=condition=Ready", "pod/"+pod, "--timeout=90s"); err != nil {
			describe, _ := e.kubectl.Run(deadline(t, time.Minute), "describe", "pod", "-n", namespace, pod)
			logs, _ := e.kubectl.Run(deadline(t, time.Minute), "logs", "-n", namespace, pod, "--all-containers", "--prefix")
			t.Fatalf("%v\n%s\n%s\n%s", err, out, describe, logs)
		}
	}
}

// testTraffic: requests pass client's and server's sidecar, in each family the node has, and the application sees its
// own sidecar as the caller.
func testTraffic(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	e.apply(t, namespace, appPod("client")+appPod("server"))
	e.ready(t, namespace, "client", "server")
	server := e.pod(t, namespace, "server")
	if init, app := names(server.Spec.InitContainers), names(server.Spec.Containers); !slices.Equal(init, []string{istio.ContainerInit, istio.ContainerProxy}) || !slices.Equal(app, []string{"app"}) {
		t.Errorf("init containers %v, containers %v; want a native sidecar", init, app)
	}
	for _, ip := range server.Status.PodIPs {
		t.Run(family(ip.IP), func(t *testing.T) {
			const n = 10
			source, destination := e.metrics(t, namespace, "client"), e.metrics(t, namespace, "server")
			for _, a := range e.get(t, namespace, "client", "http://"+net.JoinHostPort(ip.IP, "8080")+"/", n) {
				host, _, _ := net.SplitHostPort(a.Remote)
				if a.Pod != "server" || (host != istio.PassthroughV4 && host != istio.PassthroughV6) {
					t.Errorf("answer %+v; want pod server, called from its own sidecar", a)
				}
			}
			e.passed(t, namespace, "client", "source", source, n)
			e.passed(t, namespace, "server", "destination", destination, n)
		})
	}
	if len(server.Status.PodIPs) < 2 {
		t.Errorf("the pod's addresses are %v; want IPv4 and IPv6: this node is dual stack", server.Status.PodIPs)
	}
	logs := e.must(t, "logs", "-n", namespace, "server", "-c", istio.ContainerProxy)
	if !strings.Contains(logs, net.JoinHostPort(server.Status.PodIP, "8080")) {
		t.Errorf("the access log names no connection to %s:8080:\n%s", server.Status.PodIP, logs)
	}
}

// testTransparent: with TPROXY the application sees its client, and a process of the pod that isn't the proxy's still
// goes through it.
func testTransparent(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	e.apply(t, namespace, appPod("client")+appPod("server", "  annotations: {sidecar.istio.io/interceptionMode: TPROXY}"))
	e.ready(t, namespace, "client", "server")
	client, server := e.pod(t, namespace, "client"), e.pod(t, namespace, "server")
	for i, ip := range server.Status.PodIPs {
		t.Run(family(ip.IP), func(t *testing.T) {
			const n = 5
			destination := e.metrics(t, namespace, "server")
			for _, a := range e.get(t, namespace, "client", "http://"+net.JoinHostPort(ip.IP, "8080")+"/", n) {
				if host, _, _ := net.SplitHostPort(a.Remote); a.Pod != "server" || host != client.Status.PodIPs[i].IP {
					t.Errorf("answer %+v; want pod server, called from %s", a, client.Status.PodIPs[i].IP)
				}
			}
			e.passed(t, namespace, "server", "destination", destination, n)
			source := e.metrics(t, namespace, "server")
			e.get(t, namespace, "server", "http://"+net.JoinHostPort(client.Status.PodIPs[i].IP, "8080")+"/", n)
			e.passed(t, namespace, "server", "source", source, n)
		})
	}
	// The agent has NET_ADMIN here: it reads the rules.
	seen := e.must(t, "exec", "-n", namespace, "server", "-c", istio.ContainerProxy, "--", "pillion-sidecar", "request", "--debug-port", "15020", "GET", "/capture")
	if !strings.Contains(seen, "in the kernel: 0 differences") || !strings.Contains(seen, "prerouting.capture") {
		t.Errorf("the agent sees\n%s", seen)
	}
}

func family(ip string) string {
	if strings.Contains(ip, ":") {
		return "IPv6"
	}
	return "IPv4"
}

func names(containers []corev1.Container) []string {
	var all []string
	for _, c := range containers {
		all = append(all, c.Name)
	}
	return all
}

// testService: by a Service's name, from a pod that asked by itself in a namespace without a label.
func testService(t *testing.T, e *env) {
	namespace, unlabelled := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"}), e.Namespace(t)
	e.apply(t, namespace, appPod("server")+`
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {selector: {app: server}, ports: [{port: 80, targetPort: 8080}]}
`)
	asked := strings.Replace(appPod("client"), "labels: {app: client}", `labels: {app: client, sidecar.istio.io/inject: "true"}`, 1)
	e.apply(t, unlabelled, asked+strings.NewReplacer("name: client", "name: plain", "app: client", "app: plain").Replace(appPod("client")))
	e.ready(t, namespace, "server")
	e.ready(t, unlabelled, "client", "plain")
	if got := names(e.pod(t, unlabelled, "plain").Spec.Containers); len(e.pod(t, unlabelled, "plain").Spec.InitContainers) != 0 || !slices.Equal(got, []string{"app"}) {
		t.Errorf("the pod beside the one that asked has containers %v, want app alone", got)
	}
	eventually(t, 30*time.Second, func() error { // kube-proxy may not have heard of the endpoint yet
		_, err := e.kubectl.Run(deadline(t, 30*time.Second), "exec", "-n", unlabelled, "plain", "-c", "app", "--", "/usr/local/bin/app", "get", "http://server."+namespace+"/")
		return err
	})
	source, destination := e.metrics(t, unlabelled, "client"), e.metrics(t, namespace, "server")
	e.get(t, unlabelled, "client", "http://server."+namespace+"/", 5)
	e.passed(t, unlabelled, "client", "source", source, 5)
	e.passed(t, namespace, "server", "destination", destination, 5)
}

// testClassic: the same with the proxy beside the application.
func testClassic(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	classic := `  annotations: {sidecar.istio.io/nativeSidecar: "false"}`
	e.apply(t, namespace, appPod("client", classic)+appPod("server", classic))
	e.ready(t, namespace, "client", "server")
	server := e.pod(t, namespace, "server")
	if got := names(server.Spec.Containers); !slices.Equal(got, []string{"app", istio.ContainerProxy}) {
		t.Errorf("containers %v, want app and istio-proxy", got)
	}
	before := e.metrics(t, namespace, "server")
	e.get(t, namespace, "client", "http://"+net.JoinHostPort(server.Status.PodIP, "8080")+"/", 3)
	e.passed(t, namespace, "server", "destination", before, 3)
}

// testJob: a Job with a native sidecar ends when its own container does, and its traffic went through the sidecar.
func testJob(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	e.apply(t, namespace, appPod("server"))
	e.ready(t, namespace, "server")
	address := net.JoinHostPort(e.pod(t, namespace, "server").Status.PodIP, "8080")
	before := e.metrics(t, namespace, "server")
	e.apply(t, namespace, fmt.Sprintf(`
apiVersion: batch/v1
kind: Job
metadata: {name: call}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: app, image: "localhost/app:1", imagePullPolicy: IfNotPresent, args: [get, "http://%s/"]}]
`, address))
	e.must(t, "wait", "-n", namespace, "--for=condition=Complete", "job/call", "--timeout=90s")
	e.passed(t, namespace, "server", "destination", before, 1)
}

// testExcluded: what annotations exclude never meets the proxy.
func testExcluded(t *testing.T, e *env) {
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	e.apply(t, namespace,
		appPod("client", `  annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: "8080"}`)+
			appPod("server", `  annotations: {traffic.sidecar.istio.io/excludeInboundPorts: "8080"}`)+
			appPod("bare", `  annotations: {sidecar.istio.io/interceptionMode: NONE}`))
	e.ready(t, namespace, "client", "server", "bare")
	if got := names(e.pod(t, namespace, "bare").Spec.InitContainers); slices.Contains(got, istio.ContainerInit) {
		t.Errorf("with interceptionMode NONE init containers are %v, want no %s", got, istio.ContainerInit)
	}
	source, destination := e.metrics(t, namespace, "client"), e.metrics(t, namespace, "server")
	client, server := e.pod(t, namespace, "client"), e.pod(t, namespace, "server")
	for _, a := range e.get(t, namespace, "client", "http://"+net.JoinHostPort(server.Status.PodIP, "8080")+"/", 3) {
		if host, _, _ := net.SplitHostPort(a.Remote); host != client.Status.PodIP {
			t.Errorf("the server sees %s, want the client itself, %s: both sides exclude port 8080", host, client.Status.PodIP)
		}
	}
	for reporter, scrape := range map[string]struct {
		pod    string
		before install.Metrics
	}{"source": {"client", source}, "destination": {"server", destination}} {
		labels := map[string]string{"reporter": reporter}
		if more := e.metrics(t, namespace, scrape.pod).Sum(opened, labels) - scrape.before.Sum(opened, labels); more != 0 {
			t.Errorf("%s of pod %s rose by %.0f, want 0", opened, scrape.pod, more)
		}
	}
}
