package sidecar

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// TestCalled: Istio's names and ways to start its programs lead to ours.
func TestCalled(t *testing.T) {
	for _, c := range []struct{ line, name, args string }{
		{"/usr/local/bin/pillion-sidecar agent --domain x", "agent", "--domain x"},
		{"/usr/local/bin/pilot-agent proxy sidecar --domain x", "agent", "sidecar --domain x"},
		{"pillion-sidecar proxy --restart-epoch=0 --control-fd=3", "proxy", "--restart-epoch=0 --control-fd=3"},
		{"pillion-sidecar proxy --restart-epoch 0 --control-fd 3", "proxy", "--restart-epoch 0 --control-fd 3"},
		{"/usr/local/bin/istio-iptables -p 15001", "capture", "-p 15001"},
		{"pilot-agent istio-iptables -p 15001", "capture", "-p 15001"},
		{"pilot-agent wait", "wait", ""},
		{"pillion-sidecar", "", ""},
	} {
		name, args := called(strings.Fields(c.line))
		if name != c.name || !slices.Equal(args, strings.Fields(c.args)) {
			t.Errorf("%s: %s %q, want %s %s", c.line, name, args, c.name, c.args)
		}
	}
}

// TestExitCodes of command lines that end by themselves.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		line string
		env  []string
		code int
		says string
	}{
		{"x", nil, 64, "agent     open the sockets"},
		{"x dance", nil, 64, `unknown subcommand "dance"`},
		{"x help", nil, 0, "pillion-sidecar runs beside"},
		{"x --help", nil, 0, "--control-fd N|none       where the agent is; none: alone, with sockets of its own (default 3)"},
		{"x version --short", nil, 0, "dev"},
		{"x version -o json", nil, 0, `"goVersion"`},
		{"x version -o yaml", nil, 64, "want text or json"},
		{"x agent", []string{"PILLION_TERMINATION_GRACE=soon"}, 64, "want a duration such as 30s"},
		{"x agent --run-dir=/proc/self/nowhere/run", nil, 1, "mount a volume writable for UID"},
		{"x proxy --restart-epoch=x --control-fd=3", nil, 64, "want a number"},
		{"x proxy --restart-epoch=0 --control-fd=4711", nil, 64, "the agent starts the proxy"},
		{"x request GET", nil, 64, "usage: pillion-sidecar request"},
		{"x request --debug-port=15004 GET /", nil, 64, "usage: pillion-sidecar request"},
		{"x drain --run-dir=/nowhere", nil, 1, "calling the sidecar at /nowhere/agent.sock"},
		{"x wait --timeoutSeconds=0 --url=http://127.0.0.1:1/", nil, 1, "not ready in time"},
	} {
		var out bytes.Buffer
		code := Run(strings.Fields(c.line), Process{Environ: c.env, Stdout: &out, Stderr: &out})
		if code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit %d, %q; want %d, %q", c.line, code, out.String(), c.code, c.says)
		}
	}
}

func TestWaitPolls(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	var out bytes.Buffer
	if code := Run([]string{"x", "wait", "--periodMillis=1", "--url", server.URL}, Process{Stdout: &out, Stderr: &out}); code != 0 || calls.Load() != 3 {
		t.Errorf("exit %d after %d calls: %s", code, calls.Load(), out.String())
	}
}
