package workload

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a running operator.
type process struct {
	webhook, ops string
	log          *logBuffer
	cmd          *exec.Cmd
}

// operate runs the operator for this test's Injector and returns when it is ready.
func (e *env) operate(kubeconfig string) *process {
	e.t.Helper()
	p := &process{webhook: freeAddress(e.t), ops: freeAddress(e.t), log: &logBuffer{}}
	p.cmd = exec.Command(os.Args[0], "operator", "--kubeconfig="+kubeconfig, "--namespace="+operatorNamespace, "--pod-name=test", "--supervise=false",
		"--webhook-address="+p.webhook, "--ops-address="+p.ops, "--serving-host=127.0.0.1", "--sidecar-image=localhost/pillion-sidecar:test",
		"--create-default-injector=false", "--revisions="+e.revision(), "--drain=1s", "--linger=1s", "--log-level=debug")
	p.cmd.Env = append(os.Environ(), asOperator+"=1")
	p.cmd.Stderr = p.log
	must(e.t, p.cmd.Start())
	e.t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(30*time.Second, func() { _ = p.cmd.Process.Kill() })
		defer timer.Stop()
		_ = p.cmd.Wait()
		if e.t.Failed() {
			e.t.Logf("log of the operator:\n%s", p.log.tail(30))
		}
	})
	e.eventually("the operator is ready", func() error { _, err := p.get(e.ctx(), "/readyz"); return err })
	return p
}

func (p *process) get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+path, nil)
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

// metric reads one sample.
func (p *process) metric(ctx context.Context, sample string) (string, error) {
	text, err := p.get(ctx, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, sample+" "); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", err
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

func (l *logBuffer) has(text string) bool { return strings.Contains(l.tail(1<<30), text) }
