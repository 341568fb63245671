package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/install"
)

// requests is how many go from frontend to backend, each on a connection of its own so that counters can be compared.
const requests = 20

// demo is one run.
type demo struct {
	name    string
	out     io.Writer
	root    string
	started time.Time
	step    int
	kubectl install.Kubectl
	cli     string // the built pillion command
}

// shown is a pod of the demo and what must be true of it.
type shown struct {
	namespace, selector string
	injected            bool
	why                 string
}

var pods = []shown{
	{"demo", "app=frontend", true, "its namespace is labelled istio-injection=enabled"},
	{"demo", "app=backend", true, "its namespace is labelled istio-injection=enabled"},
	{"demo", "sidecar.istio.io/inject=false", false, "labelled sidecar.istio.io/inject=false in the labelled namespace"},
	{"demo-unlabelled", "sidecar.istio.io/inject=true", true, "labelled sidecar.istio.io/inject=true in an unlabelled namespace"},
}

// withNode is the whole demo.
func (d *demo) withNode(ctx context.Context) error {
	for _, step := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"A real Kubernetes on this machine", d.startCluster},
		{"Pillion, deployed with: kubectl apply -k " + install.Overlay, d.deploy},
		{"Two Deployments in a labelled namespace, a pod that says no, a pod elsewhere that asks", d.createPods},
		{"Who got a sidecar, and why (pillion check-inject)", d.showDecisions},
		{fmt.Sprintf("%d requests: frontend → its sidecar → backend's sidecar → backend", requests), d.sendRequests},
	} {
		d.title(step.title)
		if err := step.run(ctx); err != nil {
			return err
		}
	}
	d.whatNext()
	return nil
}

func (d *demo) title(text string) {
	d.step++
	fmt.Fprintf(d.out, "\n%d. %s\n", d.step, text)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "   "+format+"\n", args...) }

func (d *demo) startCluster(ctx context.Context) error {
	started := time.Now()
	c, err := cluster.Up(ctx, cluster.Options{Name: d.name}, os.Stderr)
	if err != nil {
		return err
	}
	if d.kubectl, err = install.KubectlFor(ctx, c, d.root); err != nil {
		return err
	}
	nodes, err := d.kubectl.Run(ctx, "get", "nodes")
	if err != nil {
		return err
	}
	d.block(nodes)
	d.say("up in %s; kubeconfig: %s", since(started), d.kubectl.Kubeconfig)
	return install.LoadImages(ctx, c, os.Stderr)
}

func (d *demo) deploy(ctx context.Context) error {
	started := time.Now()
	if err := install.Deploy(ctx, d.kubectl, install.Overlay); err != nil {
		return err
	}
	out, err := d.kubectl.Run(ctx, "get", "pods", "-n", install.Namespace)
	if err != nil {
		return err
	}
	d.block(out)
	out, err = d.kubectl.Run(ctx, "get", "injectors")
	d.block(out)
	d.say("ready in %s", since(started))
	return err
}

func (d *demo) createPods(ctx context.Context) error {
	for _, args := range [][]string{
		{"apply", "-f", "test/demo/manifests.yaml"},
		{"rollout", "status", "-n", "demo", "deployment/frontend", "--timeout=90s"},
		{"rollout", "status", "-n", "demo", "deployment/backend", "--timeout=90s"},
		{"wait", "-n", "demo", "--for=condition=Ready", "pod/opted-out", "--timeout=90s"},
		{"wait", "-n", "demo-unlabelled", "--for=condition=Ready", "pod/asked", "--timeout=90s"},
	} {
		if _, err := d.kubectl.Run(ctx, args...); err != nil {
			return err
		}
	}
	for _, namespace := range []string{"demo", "demo-unlabelled"} {
		out, err := d.kubectl.Run(ctx, "get", "pods", "-n", namespace)
		if err != nil {
			return err
		}
		d.say("$ kubectl get pods -n %s", namespace)
		d.block(out)
	}
	return nil
}

// showDecisions shows each pod's containers and what check-inject says, and holds both against what must be.
func (d *demo) showDecisions(ctx context.Context) error {
	if err := d.buildCLI(ctx); err != nil {
		return err
	}
	for _, p := range pods {
		pod, err := d.pod(ctx, p)
		if err != nil {
			return err
		}
		names := containers(pod)
		has := slices.Contains(names, istio.ContainerProxy)
		verdict, checked := d.checkInject(ctx, pod)
		d.say("%s/%s: %s", pod.Namespace, pod.Name, p.why)
		d.say("    containers: %s", strings.Join(names, ", "))
		d.say("    decision:   %s", verdict)
		if has != p.injected || checked != p.injected {
			return fmt.Errorf("pod %s/%s: has a sidecar: %t, check-inject says: %t; want both %t", pod.Namespace, pod.Name, has, checked, p.injected)
		}
	}
	return nil
}

func (d *demo) pod(ctx context.Context, p shown) (*corev1.Pod, error) {
	var list corev1.PodList
	if err := d.kubectl.Get(ctx, &list, "pods", "-n", p.namespace, "-l", p.selector, "--field-selector=status.phase=Running"); err != nil {
		return nil, err
	}
	list.Items = slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
	if len(list.Items) != 1 {
		return nil, fmt.Errorf("namespace %s has %d running pods with %s; want one", p.namespace, len(list.Items), p.selector)
	}
	return &list.Items[0], nil
}

// containers names a pod's containers; init containers that stay are marked.
func containers(pod *corev1.Pod) []string {
	var names []string
	for _, c := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
		names = append(names, c.Name)
	}
	return names
}

// buildCLI builds the user's command into bin/, where what-to-try-next finds it.
func (d *demo) buildCLI(ctx context.Context) error {
	d.cli = filepath.Join(d.root, "bin", "pillion")
	return binary.Build(ctx, d.root, d.cli, ".")
}

// checkInject returns check-inject's verdict: its exit code says whether the pod is injected.
func (d *demo) checkInject(ctx context.Context, pod *corev1.Pod) (string, bool) {
	cmd := exec.CommandContext(ctx, d.cli, "check-inject", "--kubeconfig", d.kubectl.Kubeconfig, "-n", pod.Namespace, pod.Name, "-o", "json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var check struct{ Verdict string }
	if json.Unmarshal(out, &check) != nil {
		return strings.TrimSpace(stderr.String()), false
	}
	return check.Verdict, err == nil
}

// sendRequests sends them and proves from both sidecars' counters that every one went through.
func (d *demo) sendRequests(ctx context.Context) error {
	frontend, err := d.pod(ctx, pods[0])
	if err != nil {
		return err
	}
	backend, err := d.pod(ctx, pods[1])
	if err != nil {
		return err
	}
	command := []string{"exec", "-n", "demo", frontend.Name, "-c", "app", "--", "/usr/local/bin/app", "get"}
	if err := d.waitService(ctx, append(command, "http://backend.demo/hello")); err != nil {
		return err
	}
	before, err := d.count(ctx, frontend, backend)
	if err != nil {
		return err
	}
	answers, err := d.kubectl.Run(ctx, append(command, slices.Repeat([]string{"http://backend.demo/hello"}, requests)...)...)
	if err != nil {
		return err
	}
	if err := d.checkAnswers(answers, backend); err != nil {
		return err
	}
	after, err := d.countReaching(ctx, before, frontend, backend)
	if err != nil {
		return err
	}
	return d.compare(before, after)
}

// waitService waits until the Service answers: kube-proxy hears of an endpoint a moment after its pod is ready.
func (d *demo) waitService(ctx context.Context, get []string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := d.kubectl.Run(ctx, get...)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the Service backend doesn't answer after 30 s: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// checkAnswers holds what the application saw against what must be: the request came from its own sidecar.
func (d *demo) checkAnswers(text string, backend *corev1.Pod) error {
	answers := strings.Split(strings.TrimSpace(text), "\n")
	d.say("the last of %d answers: %s", len(answers), answers[len(answers)-1])
	if len(answers) != requests {
		return fmt.Errorf("%d answers to %d requests", len(answers), requests)
	}
	for _, line := range answers {
		var a struct{ Pod, Remote string }
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			return fmt.Errorf("reading the answer %q: %w", line, err)
		}
		if host, _, _ := net.SplitHostPort(a.Remote); a.Pod != backend.Name || host != istio.PassthroughV4 {
			return fmt.Errorf("the answer %s comes not from %s by way of its sidecar (%s)", line, backend.Name, istio.PassthroughV4)
		}
	}
	d.say("the application sees its caller at %s: that is its own sidecar", istio.PassthroughV4)
	return nil
}

func (d *demo) whatNext() {
	fmt.Fprintf(d.out, `
All of this was true; it took %s. The cluster is still up. What to try next:

   export KUBECONFIG=%s PATH=$PATH:%s
   pillion check-inject -n demo deploy/backend        # every webhook, every step of the decision
   go run ./test/cluster exec --name %s -- kubectl get pods -A
   go run ./test/cluster exec --name %s -- kubectl logs -n demo deploy/backend -c istio-proxy    # access log
   pillion inject -f test/demo/manifests.yaml         # the same offline

   make demo-clean                                    # removes it all
`, since(d.started), d.kubectl.Kubeconfig, filepath.Join(d.root, "bin"), d.name, d.name)
}

func (d *demo) block(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprint(d.out, "      ", line)
	}
	fmt.Fprintln(d.out)
}

func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Millisecond) }
