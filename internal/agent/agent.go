// Package agent is PID 1 of the sidecar container: `pillion-sidecar agent`. Settings and signals come in; listening
// sockets, a supervised proxy, readiness and the operations API come out. It handles no application traffic: what may
// crash under traffic is a child, and a child can be replaced without refusing a connection. This file joins the
// parts; then read supervisor.go (child after child), watch.go and epoch.go (one child's life), control (what is said
// to it), drain.go (the ways out), api.go (ports 15020 and 15021), application.go (the application's probes and metrics),
// rules.go (what captures its traffic); settings.go, proxyconfig.go and node.go are what it is told and tells of itself.
package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/agent/probe"
	"github.com/pillion-mesh/pillion/internal/agent/scrape"
	"github.com/pillion-mesh/pillion/internal/ops"
	"github.com/pillion-mesh/pillion/internal/version"
)

// Options are what an Agent needs.
type Options struct {
	Settings Settings
	Command  Command // the proxy
	Limits   Limits
	Log      logr.Logger
	CGroup   string // "/sys/fs/cgroup"
	Rules    Rules  // nil: nothing is known of them
}

// Agent runs once.
type Agent struct {
	settings   Settings
	log        logr.Logger
	limits     Limits
	uid        uint32
	build      string
	started    time.Time
	sockets    *Sockets
	reaper     *Reaper
	supervisor *Supervisor
	proxy      *ops.Client
	probes     *probe.Handler
	scraper    *scrape.Scraper
	rules      Rules
	ending     *ending
	draining   atomic.Bool
	counters   counters
}

// New opens the sockets. Run must be called, or Close.
func New(o Options) (*Agent, error) {
	sockets, err := OpenSockets(o.Settings)
	if err != nil {
		return nil, err
	}
	a := &Agent{
		settings: o.Settings, log: o.Log, limits: o.Limits, started: time.Now(),
		uid: uint32(os.Getuid()), build: version.Get().Version,
		sockets: sockets, reaper: NewReaper(),
		proxy: ops.NewClient(o.Settings.ProxySocket(), 2*time.Second), rules: o.Rules,
	}
	group := cgroup{o.CGroup}
	limitMemory(group.memoryLimit())
	o.Command.Env = childEnv(o.Command.Env, proxyMemory(group.memoryLimit()), o.Settings.Concurrency)
	a.supervisor = NewSupervisor(SupervisorOptions{
		Start: func(epoch int) (child, error) { return start(a.reaper, o.Command, epoch) },
		Names: sockets.Names, FDs: sockets.FDs, Limits: o.Limits, Log: o.Log, OOMKill: group.oomKills,
	})
	a.joinApplication()
	a.ending = &ending{settings: o.Settings, draining: &a.draining, children: a.supervisor, hooks: a.probes.Hooks}
	return a, nil
}

// Run serves until a way out was taken. The error says why the agent has to give up; then the kubelet restarts the
// container.
func (a *Agent) Run(signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { a.reaper.Run(ctx) })
	a.serve(ctx, &parts)
	lost := make(chan error, 1)
	parts.Go(func() { a.keepRules(ctx, lost) })
	err := a.until(signals, lost)
	cancel()
	parts.Wait()
	a.sockets.Close()
	return err
}

// until supervises the proxy and answers signals until the proxy has ended for good.
func (a *Agent) until(signals <-chan os.Signal, lost <-chan error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	supervised := make(chan error, 1)
	go func() { supervised <- a.supervisor.Run(ctx) }()
	for {
		select {
		case err := <-supervised:
			cancel()
			a.ending.wait.Wait()
			return err
		case err := <-lost:
			cancel()
			return errors.Join(err, <-supervised)
		case sig := <-signals:
			if !a.signal(ctx, sig) {
				cancel() // kills the proxy
			}
		}
	}
}

// signal answers one signal; false means that everything has to end at once.
func (a *Agent) signal(ctx context.Context, sig os.Signal) bool {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT:
		a.log.Info("Leaving", "signal", sig.String(), "deadline", drainTime(a.settings))
		return a.ending.terminate(ctx)
	default:
		if s, ok := sig.(syscall.Signal); ok {
			a.supervisor.Forward(s)
		}
		return true
	}
}

func (a *Agent) serve(ctx context.Context, parts *sync.WaitGroup) {
	opsAPI, readyAPI := a.opsAPI(), a.readyAPI()
	for _, l := range a.sockets.Status {
		parts.Go(func() { a.serveOne(ctx, l, opsAPI) })
	}
	for _, l := range a.sockets.Ready {
		parts.Go(func() { a.serveOne(ctx, l, readyAPI) })
	}
	parts.Go(func() { a.serveOne(ctx, a.sockets.Unix, opsAPI) })
}

func (a *Agent) serveOne(ctx context.Context, l net.Listener, h http.Handler) {
	if err := ops.Serve(ctx, l, h, ops.Limits{}); err != nil {
		a.log.Error(fmt.Errorf("serving %s: %w", l.Addr(), err), "Operations API failed")
	}
}

func (a *Agent) facts() Facts {
	return facts(a.supervisor.Status(), a.draining.Load(), time.Now(), a.limits)
}
