// Package supervise runs a cluster's components: it starts them with their output in log files, reaps them and every
// orphan that falls to this process, and waits for conditions. A wait says what it waits for and ends at once, with
// the last lines of the log, when a component exits. Start with Group.
package supervise

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// Command is a program to start.
type Command struct {
	Name string // of the component and its log
	Path string
	Args []string // without the program's name
	Env  []string // nil: this process's
}

// Process is one that was started.
type Process struct {
	Name   string
	PID    int
	Log    string
	once   bool // Run waits for it; its end is no failure of the group
	exited chan struct{}
	status unix.WaitStatus
}

// Exited is closed when the process is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Group owns every child of this process. There is one a process, for it reaps them all.
type Group struct {
	logPath func(name string) string
	spawn   chan func()
	signals chan os.Signal
	done    chan struct{}

	mu       sync.Mutex
	children map[int]*Process
	order    []*Process
}

// NewGroup starts reaping. logPath says where a component's output goes.
func NewGroup(logPath func(name string) string) *Group {
	// The os package probes once, with a child of its own, whether pidfds work. That must not race with the reaper.
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Release()
	}
	g := &Group{
		logPath:  logPath,
		spawn:    make(chan func()),
		signals:  make(chan os.Signal, 1),
		done:     make(chan struct{}),
		children: map[int]*Process{},
	}
	signal.Notify(g.signals, unix.SIGCHLD)
	go g.reap()
	go g.spawner()
	return g
}

// Start starts a component. Its output is appended to its log.
func (g *Group) Start(c Command) (*Process, error) { return g.open(c, false) }

func (g *Group) open(c Command, once bool) (*Process, error) {
	log, err := os.OpenFile(g.logPath(c.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	defer func() { _ = log.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	defer func() { _ = null.Close() }()
	env := c.Env
	if env == nil {
		env = os.Environ()
	}
	attr := &os.ProcAttr{Files: []*os.File{null, log, log}, Env: env, Sys: dieWithParent()}
	var p *Process
	result := make(chan struct{})
	g.spawn <- func() { p, err = g.start(c, attr, once); close(result) }
	<-result
	return p, err
}

// start registers the child before the reaper can look for it.
func (g *Group) start(c Command, attr *os.ProcAttr, once bool) (*Process, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	process, err := os.StartProcess(c.Path, append([]string{c.Path}, c.Args...), attr)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	p := &Process{Name: c.Name, PID: process.Pid, Log: g.logPath(c.Name), once: once, exited: make(chan struct{})}
	_ = process.Release() // the reaper collects it
	g.children[p.PID] = p
	if !once {
		g.order = append(g.order, p)
	}
	return p, nil
}

// Run starts a short-lived program and waits for it.
func (g *Group) Run(c Command) error {
	p, err := g.open(c, true)
	if err != nil {
		return err
	}
	<-p.exited
	if p.status.ExitStatus() != 0 {
		return fmt.Errorf("%s %s: %s\n%s", c.Name, c.Args, describe(p.status), LastLines(p.Log, 20))
	}
	return nil
}

// Stop kills every child and waits until all are reaped.
func (g *Group) Stop() {
	g.mu.Lock()
	var started []*Process
	for pid, p := range g.children {
		started = append(started, p)
		_ = unix.Kill(pid, unix.SIGKILL) // not yet reaped, so the pid is still this child's
	}
	g.mu.Unlock()
	for _, p := range started {
		<-p.exited
	}
	signal.Stop(g.signals)
	close(g.spawn)
	close(g.signals)
	<-g.done
}

func (g *Group) reap() {
	defer close(g.done)
	for range g.signals {
		g.collect()
	}
}

func (g *Group) collect() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if p, ours := g.children[pid]; ours {
			delete(g.children, pid)
			p.status = status
			close(p.exited)
		}
	}
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "ended by signal " + status.Signal().String()
	}
	return fmt.Sprintf("exited with code %d", status.ExitStatus())
}
