package sidecar

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/ops"
	"github.com/pillion-mesh/pillion/internal/version"
)

// callTime bounds one call of a Unix socket.
const callTime = 10 * time.Second

// runWait polls readiness; the first try is at once. It is the postStart hook of a container that holds the application
// back, so it has the agent's environment and asks at its port.
func runWait(args []string, p Process) int {
	settings, _, _ := agent.Load(nil, p.Environ, p.Files) // what is wrong in it the agent says
	flags := newFlags("wait", p)
	timeout := flags.Int("timeoutSeconds", 60, "how long to wait")
	period := flags.Int("periodMillis", 500, "time between tries")
	request := flags.Int("requestTimeoutMillis", 500, "time of one try")
	url := flags.String("url", fmt.Sprintf("http://localhost:%d%s", settings.ReadyPort, istio.PathReady), "what to ask")
	if flags.Parse(args) != nil {
		return exitUsage
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*timeout)*time.Second)
	defer cancel()
	client := &http.Client{Timeout: time.Duration(*request) * time.Millisecond}
	if err := waitReady(ctx, client, *url, max(time.Duration(*period)*time.Millisecond, time.Millisecond)); err != nil {
		return fail(p, 1, err)
	}
	return 0
}

func waitReady(ctx context.Context, client *http.Client, url string, period time.Duration) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		last := askReady(ctx, client, url)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the sidecar is not ready in time: %w", last)
		case <-tick.C:
		}
	}
}

func askReady(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s, blocked by %q", url, resp.Status, resp.Header.Get("X-Pillion-Blocked"))
	}
	return nil
}

func runDrain(args []string, p Process) int {
	flags := newFlags("drain", p)
	runDir := flags.String("run-dir", agent.DefaultRunDir, "where the sidecar's sockets are")
	if flags.Parse(args) != nil {
		return exitUsage
	}
	return call(agent.Settings{RunDir: *runDir}.AgentSocket(), http.MethodPost, "/drain", "", p)
}

// runRequest calls a server of the sidecar. Istio's port numbers name them; the call goes over their Unix sockets.
func runRequest(args []string, p Process) int {
	flags := newFlags("request", p)
	port := flags.Int("debug-port", istio.PortAdmin, "whom to ask: 15020 or 15021 the agent, 15000 or 15090 the proxy")
	runDir := flags.String("run-dir", agent.DefaultRunDir, "where the sidecar's sockets are")
	if flags.Parse(args) != nil {
		return exitUsage
	}
	settings := agent.Settings{RunDir: *runDir}
	sockets := map[int]string{
		istio.PortStatus: settings.AgentSocket(), istio.PortReady: settings.AgentSocket(),
		istio.PortAdmin: settings.ProxySocket(), istio.PortProxyStats: settings.ProxySocket(),
	}
	socket, known := sockets[*port]
	if !known || flags.NArg() < 2 {
		fmt.Fprintln(p.Stderr, "usage: pillion-sidecar request [--debug-port 15000|15020|15021|15090] METHOD PATH [BODY]")
		return exitUsage
	}
	return call(socket, flags.Arg(0), flags.Arg(1), flags.Arg(2), p)
}

// call prints the answer's body; a status of 400 and more is exit code 1.
func call(socket, method, path, body string, p Process) int {
	resp, err := ops.NewClient(socket, callTime).Do(context.Background(), method, path, strings.NewReader(body))
	if err != nil {
		return fail(p, 1, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(p.Stdout, resp.Body); err != nil {
		return fail(p, 1, fmt.Errorf("reading the answer: %w", err))
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fail(p, 1, fmt.Errorf("%s %s: %s", method, path, resp.Status))
	}
	return 0
}

func runVersion(args []string, p Process) int {
	flags := newFlags("version", p)
	short := flags.Bool("short", false, "only the version")
	output := flags.String("o", "text", "text or json")
	if flags.Parse(args) != nil {
		return exitUsage
	}
	return printVersion(*short, *output, p)
}

func printVersion(short bool, output string, p Process) int {
	info := version.Get()
	switch {
	case output == "json":
		if err := json.NewEncoder(p.Stdout).Encode(info); err != nil {
			return fail(p, 1, err)
		}
	case output != "text":
		return fail(p, exitUsage, fmt.Errorf("-o is %q, want text or json", output))
	case short:
		fmt.Fprintln(p.Stdout, info.Version)
	default:
		fmt.Fprintln(p.Stdout, info)
	}
	return 0
}

func newFlags(name string, p Process) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(p.Stderr)
	return flags
}
