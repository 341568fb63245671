//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/ops"
)

const (
	startTime = 20 * time.Second
	settling  = 10 * time.Second // start leaves garbage that the collector hasn't looked at yet
	poll      = 20 * time.Millisecond
)

// usage is the memory of a sidecar's processes, in bytes. RSS counts what they share once each, PSS once.
type usage struct{ rss, pss int64 }

// idle runs agent and proxy, as in a pod, until they have been idle for a while.
func idle(ctx context.Context, binary, dir string) (total usage, err error) {
	if err := errors.Join(os.Chmod(dir, 0o755), makeRunDir(dir)); err != nil { // UID 1337 goes in
		return total, err
	}
	var stderr bytes.Buffer
	agent := start(ctx, binary, runDir(dir), &stderr)
	if err := agent.Start(); err != nil {
		return total, err
	}
	defer func() {
		_ = agent.Process.Kill() // PID 1 of its namespace: the proxy ends with it
		_ = agent.Wait()
	}()
	if err := waitReady(ctx, filepath.Join(runDir(dir), "agent.sock")); err != nil {
		return total, fmt.Errorf("%w\n%s", err, stderr.String())
	}
	if err := rest(ctx, settling); err != nil {
		return total, err
	}
	pids, err := withChildren(agent.Process.Pid)
	for _, pid := range pids {
		used, failed := usageOf(pid)
		total.rss, total.pss, err = total.rss+used.rss, total.pss+used.pss, errors.Join(err, failed)
	}
	return total, err
}

func runDir(dir string) string { return filepath.Join(dir, "run") }

func makeRunDir(dir string) error {
	if err := os.Mkdir(runDir(dir), 0o700); err != nil {
		return err
	}
	return os.Chown(runDir(dir), istio.ProxyUID, istio.ProxyUID)
}

// start gives the agent namespaces of its own, so that its ports are free and nothing of it outlives it.
func start(ctx context.Context, binary, run string, stderr *bytes.Buffer) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, "agent", "--run-dir="+run)
	cmd.Env = []string{"POD_NAME=bench", "POD_NAMESPACE=bench"}
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL,
		Credential: &syscall.Credential{Uid: istio.ProxyUID, Gid: istio.ProxyUID},
	}
	return cmd
}

func waitReady(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	client := ops.NewClient(socket, time.Second)
	for {
		last := ask(ctx, client)
		if last == nil {
			return nil
		}
		if err := rest(ctx, poll); err != nil {
			return fmt.Errorf("the sidecar isn't ready after %s: %w", startTime, last)
		}
	}
}

func ask(ctx context.Context, client *ops.Client) error {
	resp, err := client.Do(ctx, http.MethodGet, istio.PathReady, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// withChildren is a process and what its threads have started.
func withChildren(pid int) ([]int, error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	pids := []int{pid}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			return nil, err
		}
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return nil, err
			}
			pids = append(pids, child)
		}
	}
	if len(pids) != 2 {
		return nil, fmt.Errorf("a sidecar is agent and proxy, here are %d processes", len(pids))
	}
	return pids, nil
}

// usageOf reads smaps_rollup, whose lines are such as `Pss:   1234 kB`.
func usageOf(pid int) (u usage, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		for name, to := range map[string]*int64{"Rss:": &u.rss, "Pss:": &u.pss} {
			if len(fields) == 3 && fields[0] == name {
				kib, err := strconv.ParseInt(fields[1], 10, 64)
				if err != nil {
					return u, err
				}
				*to = kib << 10
			}
		}
	}
	if u.rss == 0 || u.pss == 0 {
		return u, fmt.Errorf("no Rss and Pss of process %d", pid)
	}
	return u, nil
}
