//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Cores: proxies have the first, clients and backends the second.
const (
	proxyCore = "0"
	otherCore = "1"
)

const (
	startTime = 20 * time.Second
	stopTime  = 3 * time.Second
	poll      = 10 * time.Millisecond
)

// process is one that was started, with what it starts itself.
type process struct {
	name string
	cmd  *exec.Cmd
	said bytes.Buffer // stderr
}

// command returns cmd bound to a core. It dies with this process.
func command(ctx context.Context, core, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", core, program}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

func launch(name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd}
	cmd.Stderr = &p.said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// listening waits until the process takes connections at port.
func (p *process) listening(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for ctx.Err() == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", local(port))
		if err == nil {
			return conn.Close()
		}
		rest(ctx, poll)
	}
	return fmt.Errorf("%s doesn't listen on %s: %s", p.name, local(port), p.said.String())
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// stop ends the process and its children, kindly at first, and waits for it.
func (p *process) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	late := time.AfterFunc(stopTime, func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	defer late.Stop()
	_ = p.cmd.Wait()
}

// tree is the process and what came of it.
func (p *process) tree() []int { return withChildren(p.cmd.Process.Pid) }

func withChildren(pid int) []int {
	all := []int{pid}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				all = append(all, withChildren(child)...)
			}
		}
	}
	return all
}

// ticksPerSecond is USER_HZ, what /proc counts CPU time in; Linux has no other on what we run on.
const ticksPerSecond = 100

// usedCPU is the CPU time of processes and their children so far, in seconds.
func usedCPU(processes []*process) (user, system float64, err error) {
	for _, p := range processes {
		for _, pid := range p.tree() {
			fields, failed := statFields(pid)
			if failed != nil {
				return 0, 0, fmt.Errorf("%s: %w", p.name, failed)
			}
			user += number(fields[11]) / ticksPerSecond
			system += number(fields[12]) / ticksPerSecond
		}
	}
	return user, system, nil
}

// statFields are those behind the name in /proc/PID/stat: the first is field 3 of proc_pid_stat(5).
func statFields(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return nil, errors.New("/proc/PID/stat is short")
	}
	return fields, nil
}

// rss is the resident memory of processes and their children, in bytes.
func rss(processes []*process) (total float64, err error) {
	for _, p := range processes {
		for _, pid := range p.tree() {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
			if err != nil {
				return 0, fmt.Errorf("%s: %w", p.name, err)
			}
			total += number(strings.Fields(string(text))[1]) * float64(os.Getpagesize())
		}
	}
	return total, nil
}

// core is what a core has done so far, in seconds.
type core struct{ busy, stolen float64 }

// Columns of a core's line in /proc/stat.
const (
	columnIdle   = 3
	columnIOWait = 4
	columnSteal  = 7
	columnGuest  = 8 // from here on: counted in user already
)

func readCore(name string) (c core, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return c, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) <= columnGuest || fields[0] != "cpu"+name {
			continue
		}
		for i, field := range fields[1 : columnGuest+1] {
			switch i {
			case columnIdle, columnIOWait:
			case columnSteal:
				c.stolen += number(field) / ticksPerSecond
			default:
				c.busy += number(field) / ticksPerSecond
			}
		}
		return c, nil
	}
	return c, fmt.Errorf("/proc/stat says nothing of core %s", name)
}

func number(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64)
	return n
}
