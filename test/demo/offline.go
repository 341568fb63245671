package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/install"
)

// withoutNode shows what an API server alone can: the operator runs as a process beside it, and what it makes of a pod
// is shown as a diff. No pod runs, so nothing is said about traffic.
func (d *demo) withoutNode(ctx context.Context, why error) error {
	fmt.Fprintf(d.out, "No node here: %v.\nShown: what the operator makes of a pod, on a real API server.\nLeft out: running pods, traffic through sidecars, counters.\n", why)
	var operator *exec.Cmd
	defer func() { end(operator) }()
	for _, step := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"A real API server on this machine", d.startAPI},
		{"The operator, as a process on this machine", func(ctx context.Context) (err error) {
			operator, err = d.startOperator(ctx)
			return err
		}},
		{"A pod, before and after the API server has asked the operator", d.showDiff},
		{"Who gets a sidecar, and why (pillion check-inject)", d.checkAll},
	} {
		d.title(step.title)
		if err := step.run(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "\nAll of this was true; it took %s. The API server is still up, the operator isn't. Remove it: make demo-clean\n", since(d.started))
	return nil
}

func (d *demo) startAPI(ctx context.Context) error {
	c, err := cluster.Up(ctx, cluster.Options{Name: d.name + "-api", APIOnly: true, ControllerManager: true}, os.Stderr)
	if err != nil {
		return err
	}
	if d.kubectl, err = install.KubectlFor(ctx, c, d.root); err != nil {
		return err
	}
	d.say("kubeconfig: %s", d.kubectl.Kubeconfig)
	return d.buildCLI(ctx)
}

// startOperator runs it outside the cluster: its Injector tells the API server a URL instead of a Service.
func (d *demo) startOperator(ctx context.Context) (*exec.Cmd, error) {
	webhook, err := freePort()
	if err != nil {
		return nil, err
	}
	ops, err := freePort()
	if err != nil {
		return nil, err
	}
	injector := fmt.Sprintf(`{"apiVersion":"pillion.dev/v1alpha1","kind":"Injector","metadata":{"name":"default"},"spec":{"webhook":{"url":"https://127.0.0.1:%d"}}}`, webhook)
	for _, apply := range []struct {
		stdin string
		args  []string
	}{
		{"", []string{"apply", "-k", "config/crd"}},
		{"", []string{"wait", "--for=condition=Established", "crd/injectors.pillion.dev", "--timeout=30s"}},
		{`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"` + install.Namespace + `"}}`, []string{"apply", "-f", "-"}},
		{injector, []string{"apply", "-f", "-"}},
	} {
		if _, err := d.kubectl.RunWith(ctx, []byte(apply.stdin), apply.args...); err != nil {
			return nil, err
		}
	}
	log, err := os.Create(filepath.Join(filepath.Dir(d.kubectl.Kubeconfig), "operator.log")) // goes with the cluster
	if err != nil {
		return nil, fmt.Errorf("the operator's log: %w", err)
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, d.cli, "operator", "--kubeconfig", d.kubectl.Kubeconfig,
		"--webhook-address", fmt.Sprintf("127.0.0.1:%d", webhook), "--ops-address", fmt.Sprintf("127.0.0.1:%d", ops),
		"--serving-host", "127.0.0.1", "--drain", "0s", "--linger", "0s")
	cmd.Stderr = log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	d.say("pid %d, log %s", cmd.Process.Pid, log.Name())
	if err := waitReady(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", ops)); err != nil {
		text, _ := os.ReadFile(log.Name())
		return cmd, fmt.Errorf("the operator isn't ready: %w\n%s", err, text)
	}
	_, err = d.kubectl.Run(ctx, "wait", "--for=condition=WebhooksReady", "injector/default", "--timeout=30s")
	return cmd, err
}

func waitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := getOK(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func getOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// showDiff creates the demo's objects and shows what became of one pod.
func (d *demo) showDiff(ctx context.Context) error {
	if _, err := d.kubectl.Run(ctx, "apply", "-f", "test/demo/manifests.yaml"); err != nil {
		return err
	}
	var after map[string]any
	if err := d.kubectl.Get(ctx, &after, "pod", "-n", "demo-unlabelled", "asked"); err != nil {
		return err
	}
	injected, err := yaml.Marshal(pick(after))
	if err != nil {
		return fmt.Errorf("printing the pod: %w", err)
	}
	if !bytes.Contains(injected, []byte("name: istio-proxy")) {
		return errors.New("the pod has no sidecar")
	}
	text, err := d.kubectl.RunWith(ctx, []byte(askedPod), "create", "--dry-run=client", "-o", "yaml", "-f", "-")
	if err != nil {
		return err
	}
	return d.diff(ctx, []byte(text), injected)
}

// askedPod is the pod of manifests.yaml that asks by itself.
const askedPod = `
apiVersion: v1
kind: Pod
metadata: {name: asked, namespace: demo-unlabelled, labels: {sidecar.istio.io/inject: "true"}}
spec: {containers: [{name: app, image: "localhost/app:1", args: [serve]}]}
`

// pick leaves what injection is about.
func pick(pod map[string]any) map[string]any {
	metadata, _ := pod["metadata"].(map[string]any)
	for _, key := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"} {
		delete(metadata, key)
	}
	delete(pod, "status")
	return pod
}

// diff prints what was added, by diff if there is one.
func (d *demo) diff(ctx context.Context, before, after []byte) error {
	folder, err := os.MkdirTemp("", "pillion-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	for name, text := range map[string][]byte{"before.yaml": before, "after.yaml": after} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "diff", "-u", "before.yaml", "after.yaml")
	cmd.Dir = folder
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // exit code 1: they differ
		out = after
	}
	d.block(string(out))
	return nil
}

// checkAll asks check-inject about each pod of the demo, as a workload where no pod runs.
func (d *demo) checkAll(ctx context.Context) error {
	for _, p := range []struct {
		namespace, target string
		injected          bool
	}{
		{"demo", "deploy/frontend", true},
		{"demo", "pod/opted-out", false},
		{"demo-unlabelled", "pod/asked", true},
	} {
		cmd := exec.CommandContext(ctx, d.cli, "check-inject", "--kubeconfig", d.kubectl.Kubeconfig, "-n", p.namespace, p.target)
		out, err := cmd.CombinedOutput()
		d.block(string(out))
		if (err == nil) != p.injected {
			return fmt.Errorf("check-inject %s in namespace %s: exit %d; want injected: %t", p.target, p.namespace, cmd.ProcessState.ExitCode(), p.injected)
		}
	}
	return nil
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// end ends the operator and waits for it.
func end(cmd *exec.Cmd) {
	if cmd == nil || cmd.Process == nil {
		return
	}
	_ = cmd.Process.Signal(os.Interrupt) // it may have ended by itself
	_ = cmd.Wait()
}
