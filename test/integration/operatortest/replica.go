package operatortest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Process is how to run a replica.
type Process struct {
	Name  string   // --pod-name
	Flags []string // after those every replica gets, so they win
	Env   []string // KEY=value, for Setup.Configure too
}

// Replica is a running operator: two processes, a parent that holds the webhook's socket and the worker, or one with
// --supervise=false.
type Replica struct {
	Name    string
	Webhook string // host:port
	Ops     string
	Log     *Log

	cmd   *exec.Cmd
	ended chan struct{}
}

// Start runs a replica and puts it behind the relay. It is killed when the test ends.
func (e *Env) Start(name string, flags ...string) *Replica {
	e.T.Helper()
	return e.Run(Process{Name: name, Flags: flags})
}

// Run is Start with an environment.
func (e *Env) Run(p Process) *Replica {
	e.T.Helper()
	r := &Replica{Name: p.Name, Webhook: freeAddress(e.T), Ops: freeAddress(e.T), Log: &Log{}, ended: make(chan struct{})}
	r.cmd = exec.Command(os.Args[0], slices.Concat(e.flags(r), p.Flags)...)
	r.cmd.Env = slices.Concat(os.Environ(), []string{asOperator + "=1", endpointsEnv + "=" + e.Service.file}, p.Env)
	r.cmd.Stderr = r.Log
	r.cmd.SysProcAttr = ownGroup()
	Must(e.T, r.cmd.Start())
	go func() {
		_ = r.cmd.Wait()
		close(r.ended)
	}()
	e.Service.add(r)
	e.T.Cleanup(func() {
		r.Kill()
		if e.T.Failed() {
			e.T.Logf("log of replica %s:\n%s", r.Name, r.Log.Without(`"decision":`, 40))
		}
	})
	return r
}

func (e *Env) flags(r *Replica) []string {
	return []string{"operator", "--kubeconfig=" + e.Cluster.Kubeconfig(), "--namespace=" + e.Namespace, "--pod-name=" + r.Name,
		"--webhook-address=" + r.Webhook, "--ops-address=" + r.Ops, "--serving-host=127.0.0.1", "--sidecar-image=localhost/pillion-sidecar:test",
		"--create-default-injector=false", "--drain=3s", "--log-level=debug"}
}

// Ready waits until replicas say so.
func (e *Env) Ready(replicas ...*Replica) {
	e.T.Helper()
	for _, r := range replicas {
		e.Eventually("replica "+r.Name+" is ready", func() error { return r.Get(e.Ctx(), "/readyz") })
	}
}

// Get asks the ops server, and is an error unless it answers 200.
func (r *Replica) Get(ctx context.Context, path string) error {
	_, err := r.Body(ctx, path)
	return err
}

// Body is what the ops server answers.
func (r *Replica) Body(ctx context.Context, path string) (string, error) {
	select {
	case <-r.ended:
		return "", fmt.Errorf("replica %s has ended: %s", r.Name, r.Log.Tail(5))
	default:
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Ops+path, nil)
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

// Metric reads one sample, such as `name{label="value"}`; "" if there is none.
func (r *Replica) Metric(ctx context.Context, sample string) (string, error) {
	text, err := r.Body(ctx, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, sample+" "); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", err
}

// Exited waits for the end and returns the exit code.
func (r *Replica) Exited(t *testing.T) int {
	t.Helper()
	select {
	case <-r.ended:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("replica %s doesn't end within %s: %s", r.Name, patience, r.Log.Tail(10))
		return -1
	}
}

// handedOut are the ports that replicas of this process have got: one that hasn't begun to listen looks free.
var handedOut sync.Map

// freeAddress is below the ports that connections get by themselves, for tests make thousands of those.
func freeAddress(t *testing.T) string {
	t.Helper()
	const lowest, highest = 15020, 32767
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(highest-lowest))
		if _, taken := handedOut.LoadOrStore(address, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatalf("no free port between %d and %d", lowest, highest)
	return ""
}
