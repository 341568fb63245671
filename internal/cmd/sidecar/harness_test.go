package sidecar

import (
	"bytes"
	"context"
	"errors"
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

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// patience bounds every wait; what is waited for takes milliseconds.
const patience = 20 * time.Second

// quickExit takes the second away that a program with the race detector sleeps before it exits.
const quickExit = "GORACE=atexit_sleep_ms=0"

// sidecar is a running agent in a network namespace.
type sidecar struct {
	t      *testing.T
	ns     *nstest.Namespace
	cmd    *exec.Cmd
	run    string
	stdout *output
	stderr *output
	exited chan struct{}
}

// startSidecar runs a real agent as UID 1337 in ns and waits until it is ready.
func startSidecar(t *testing.T, ns *nstest.Namespace, env ...string) *sidecar {
	t.Helper()
	return startSidecarAs(t, ns, istio.ProxyUID, env...)
}

// startSidecarAs runs it as another user, of the same group.
func startSidecarAs(t *testing.T, ns *nstest.Namespace, uid uint32, env ...string) *sidecar {
	t.Helper()
	s := launchSidecar(t, ns, uid, env...)
	s.eventually("ready", func() error { return s.ready() })
	return s
}

// launchSidecar doesn't wait for anything.
func launchSidecar(t *testing.T, ns *nstest.Namespace, uid uint32, env ...string) *sidecar {
	t.Helper()
	s := &sidecar{t: t, ns: ns, run: runDir(t), stdout: &output{}, stderr: &output{}, exited: make(chan struct{})}
	s.cmd = exec.Command("/proc/self/exe", "agent", "--log_output_level=debug", "--proxyLogLevel=debug", "--run-dir="+s.run)
	s.cmd.Env = append([]string{asSidecar + "=1", quickExit, "POD_NAMESPACE=test", "ISTIO_META_WORKLOAD_NAME=unit"}, env...)
	s.cmd.Stdout, s.cmd.Stderr = s.stdout, s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: istio.ProxyUID}}
	s.cmd.WaitDelay = time.Second
	ns.Must(t, s.cmd.Start) // a child is forked into the network namespace of the forking thread
	go func() { defer close(s.exited); _ = s.cmd.Wait() }()
	t.Cleanup(s.kill)
	return s
}

// runDir is writable for UID 1337, which TempDir's parents may not be.
func runDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/tmp", "sidecar")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, istio.ProxyUID, istio.ProxyUID); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "run")
}

func (s *sidecar) kill() {
	if pid := s.proxyPID(); pid > 0 && s.running() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	if strings.Contains(s.stderr.String(), "WARNING: DATA RACE") {
		s.t.Error("the race detector found something in agent or proxy")
	}
	if s.t.Failed() {
		s.t.Logf("agent's stderr:\n%s\naccess log:\n%s", s.stderr, s.stdout)
	}
}

func (s *sidecar) running() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// wait returns the agent's exit code.
func (s *sidecar) wait() int {
	s.t.Helper()
	select {
	case <-s.exited:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		s.t.Fatalf("the agent doesn't end")
		return 0
	}
}

func (s *sidecar) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// proxyPID is the agent's only child.
func (s *sidecar) proxyPID() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", s.cmd.Process.Pid, s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	pids := string(text)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	for _, task := range tasks {
		more, _ := os.ReadFile(task)
		pids += string(more)
	}
	fields := strings.Fields(pids)
	if len(fields) == 0 {
		return 0
	}
	pid, _ := strconv.Atoi(fields[0])
	return pid
}

func (s *sidecar) eventually(what string, f func() error) {
	s.t.Helper()
	eventually(s.t, what, f)
}

func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	err := f()
	for ; err != nil; err = f() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// client calls HTTP servers in the namespace from UID 0.
func (s *sidecar) client() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (conn net.Conn, err error) {
			err = s.ns.Do(func() error { conn, err = net.Dial(network, address); return err })
			return conn, err
		},
	}}
}

func (s *sidecar) get(url string) (int, string, error) {
	resp, err := s.client().Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func (s *sidecar) ready() error {
	if !s.running() {
		return errors.New("the agent has ended")
	}
	code, _, err := s.get("http://127.0.0.1:15021/healthz/ready")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("status %d", code)
	}
	return err
}

// metric sums the samples of a family whose labels include want.
func (s *sidecar) metric(name string, want map[string]string) float64 {
	s.t.Helper()
	code, text, err := s.get("http://127.0.0.1:15020/stats/prometheus")
	if err != nil || code != http.StatusOK {
		s.t.Fatalf("scraping: %d, %v", code, err)
	}
	return sum(s.t, text, name, want)
}

func sum(t testing.TB, text, name string, want map[string]string) (total float64) {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("a real parser refuses the metrics: %v", err)
	}
	family, ok := families[name]
	if !ok {
		t.Fatalf("there is no metric %s", name)
	}
	for _, m := range family.Metric {
		labels := map[string]string{}
		for _, l := range m.Label {
			labels[l.GetName()] = l.GetValue()
		}
		matches := true
		for k, v := range want {
			matches = matches && labels[k] == v
		}
		if matches {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}

// request runs `pillion-sidecar request` in the namespace under a UID and returns its exit code and output.
func (s *sidecar) request(uid uint32, args ...string) (int, string) {
	s.t.Helper()
	return s.subcommand(uid, "request", args...)
}

func (s *sidecar) subcommand(uid uint32, name string, args ...string) (int, string) {
	s.t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{name, "--run-dir=" + s.run}, args...)...)
	cmd.Env = []string{asSidecar + "=1", quickExit}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var err error
	s.ns.Must(s.t, func() error { err = cmd.Start(); return err })
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), out.String()
}

// output collects what a process writes while the test reads it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// applyCapture writes the rules the injector asks for into a namespace.
func applyCapture(t *testing.T, ns *nstest.Namespace) { applyCaptureBy(t, ns, "REDIRECT") }

func applyCaptureBy(t *testing.T, ns *nstest.Namespace, mode string) {
	t.Helper()
	args := []string{"apply", "-p", "15001", "-z", "15006", "-u", "1337", "-m", mode, "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020"}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = []string{asCapture + "=1", quickExit}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	ns.Must(t, cmd.Start)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("applying capture rules: %v\n%s", err, out.String())
	}
}
