package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/agent/control"
	"github.com/pillion-mesh/pillion/internal/proxy"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/version"
)

// closeTime is how long ending the connections may take after SIGTERM; the agent kills soon after.
const closeTime = 150 * time.Millisecond

// runProxy is a child of the agent.
func runProxy(args []string, p Process) int {
	signal.Ignore(syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2) // the agent forwards them; they mean nothing yet
	settings, logger, err := load(args, p, func(s agent.Settings) string { return s.LogLevel })
	if err != nil {
		return fail(p, exitUsage, err)
	}
	epoch, fd, err := childFlags(args)
	if err != nil {
		return fail(p, exitUsage, err)
	}
	conn, err := control.Open(fd)
	if err != nil {
		return fail(p, exitUsage, fmt.Errorf("proxy is started by the agent: %w", err))
	}
	server, err := proxy.New(proxyOptions(settings, epoch, p, logger))
	if err != nil {
		return fail(p, 1, err)
	}
	return serve(server, &control.Child{Conn: conn, Epoch: epoch, Version: version.Get().Version, Log: logger}, p)
}

// serve runs the proxy until SIGTERM, the agent's death or a fatal error.
func serve(server *proxy.Server, child *control.Child, p Process) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-server.Fatal():
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err := child.Run(ctx, service{server})
	if errors.Is(err, control.ErrAgentGone) {
		return fail(p, exitAgentGone, err)
	}
	closing, done := context.WithTimeout(context.Background(), closeTime)
	defer done()
	server.Close(closing)
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil {
		return fail(p, 1, err)
	}
	return 0
}

// service joins the proxy to the agent's orders.
type service struct{ *proxy.Server }

func (s service) Accept(sockets map[string]net.Listener) error { return s.Server.Accept(sockets) }
func (s service) SetMemoryLimit(bytes int64)                   { debug.SetMemoryLimit(bytes) }

func childFlags(args []string) (epoch, fd int, err error) {
	for name, to := range map[string]*int{"restart-epoch": &epoch, "control-fd": &fd} {
		value := agent.FlagValue(args, name)
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return 0, 0, fmt.Errorf("--%s is %q, want a number", name, value)
		}
		*to = n
	}
	return epoch, fd, nil
}

func proxyOptions(s agent.Settings, epoch int, p Process, logger logr.Logger) proxy.Options {
	return proxy.Options{
		Epoch:     epoch,
		Config:    config.Settings{OutboundPort: s.OutboundPort, InboundPort: s.InboundPort, KeepClient: s.Transparent},
		Labels:    labels(s),
		MaxConns:  maxConns(s.MaxConns),
		OwnPorts:  s.OwnPorts(),
		AccessLog: p.Stdout,
		Log:       logger,
	}
}

func labels(s agent.Settings) telemetry.Labels {
	return telemetry.Labels{
		Workload: s.Workload, Namespace: s.PodNamespace, App: s.App, Version: s.Version,
		CanonicalService: s.CanonicalService, CanonicalRevision: s.CanonicalRevision,
		Cluster: s.ClusterID, Build: version.Get().Version,
	}
}

// Descriptors that aren't for connections: sockets, logs, pipes of splice, the operations API.
const (
	reservedFDs = 256
	fewestConns = 64
)

// maxConns is the limit set, or what the process has descriptors for: two a connection.
func maxConns(set int64) int64 {
	if set > 0 {
		return set
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fewestConns
	}
	return max(int64(min(limit.Cur, 1<<30))/2-reservedFDs, fewestConns)
}
