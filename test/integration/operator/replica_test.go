package operator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// replica is one operator process.
type replica struct {
	name    string
	webhook string // host:port
	ops     string
	cmd     *exec.Cmd
	log     *logBuffer
	ended   chan struct{}
}

// start runs a replica and puts it behind the relay.
func (e *env) start(name string, args ...string) *replica {
	e.t.Helper()
	r := &replica{name: name, webhook: freeAddress(e.t), ops: freeAddress(e.t), log: &logBuffer{}, ended: make(chan struct{})}
	args = append([]string{"operator", "--kubeconfig=" + e.cluster.Kubeconfig(), "--namespace=" + e.namespace, "--pod-name=" + name,
		"--webhook-address=" + r.webhook, "--ops-address=" + r.ops, "--serving-host=127.0.0.1", "--sidecar-image=localhost/pillion-sidecar:test",
		"--create-default-injector=false", "--drain=3s", "--log-level=debug"}, args...)
	r.cmd = exec.Command(os.Args[0], args...)
	r.cmd.Env = append(os.Environ(), asOperator+"=1")
	r.cmd.Stderr = r.log
	r.cmd.SysProcAttr = ownGroup()
	must(e.t, r.cmd.Start())
	go func() {
		_ = r.cmd.Wait()
		close(r.ended)
	}()
	e.service.add(r)
	e.t.Cleanup(func() {
		r.kill()
		if e.t.Failed() {
			e.t.Logf("log of replica %s:\n%s", r.name, r.log.tail(25))
		}
	})
	return r
}

// ready waits until the replica says so.
func (e *env) ready(replicas ...*replica) {
	e.t.Helper()
	for _, r := range replicas {
		e.eventually("replica "+r.name+" is ready", func() error { return r.get(e.ctx(), "/readyz") })
	}
}

// get asks the ops server.
func (r *replica) get(ctx context.Context, path string) error {
	_, err := r.body(ctx, path)
	return err
}

func (r *replica) body(ctx context.Context, path string) (string, error) {
	select {
	case <-r.ended:
		return "", fmt.Errorf("replica %s has ended: %s", r.name, r.log.tail(5))
	default:
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.ops+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", answer.Status, text)
	}
	return string(text), err
}

// metric reads one sample, such as `name{label="value"}`.
func (r *replica) metric(ctx context.Context, sample string) (string, error) {
	text, err := r.body(ctx, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, sample+" "); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", err
}

// terminate is what the kubelet does first.
func (r *replica) terminate() { _ = r.cmd.Process.Signal(syscall.SIGTERM) }

// kill ends the whole replica as a node's death does: parent and child.
func (r *replica) kill() {
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	<-r.ended
}

// crash kills the process that does the work, as running out of memory does.
func (r *replica) crash(t *testing.T) {
	t.Helper()
	var children string
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.cmd.Process.Pid))
	must(t, err)
	for _, thread := range threads {
		some, err := os.ReadFile(thread)
		must(t, err)
		children += string(some)
	}
	if len(threads) == 0 {
		t.Skip("skipped, the kernel doesn't list a process's children")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(children))
	if err != nil {
		t.Fatalf("the replica has no single child: %q", children)
	}
	must(t, syscall.Kill(pid, syscall.SIGKILL))
}

// exited waits for the end and returns the exit code.
func (r *replica) exited(t *testing.T) int {
	t.Helper()
	select {
	case <-r.ended:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("replica %s doesn't end: %s", r.name, r.log.tail(10))
		return -1
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBuffer) tail(lines int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Split(strings.TrimSpace(l.text.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (l *logBuffer) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}
