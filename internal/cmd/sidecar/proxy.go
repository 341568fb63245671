package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/agent/control"
	"github.com/pillion-mesh/pillion/internal/log"
	"github.com/pillion-mesh/pillion/internal/memory"
	"github.com/pillion-mesh/pillion/internal/proxy"
	"github.com/pillion-mesh/pillion/internal/proxy/admin"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/listener"
	"github.com/pillion-mesh/pillion/internal/version"
)

// closeTime is how long ending the connections may take after SIGTERM; the agent kills soon after.
const closeTime = 150 * time.Millisecond

// runProxy is a child of the agent, or stands alone with --control-fd=none.
func runProxy(args []string, p Process) int {
	signal.Ignore(syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2) // the agent forwards them; they mean nothing yet
	flags, err := parseProxyFlags(args)
	if err != nil {
		return fail(p, exitUsage, err)
	}
	settings, _, err := agent.Load(args, p.Environ, p.Files)
	if err != nil {
		return fail(p, exitUsage, err)
	}
	logger, levels, err := log.NewScoped(p.Stderr, log.Options{Level: settings.ProxyLogLevel, Format: settings.LogFormat}, admin.Scopes)
	if err != nil {
		return fail(p, exitUsage, err)
	}
	bootstrap, err := flags.readBootstrap(settings)
	if err != nil {
		return fail(p, exitUsage, err)
	}
	options := proxyOptions(settings, flags.Epoch, p, logger)
	options.Bootstrap, options.Levels, options.CommandLine = bootstrap, levels, flags.shown()
	options.Self, options.DrainTime, options.CloseAfter = self(settings, bootstrap), flags.spread(), flags.DrainTime
	options.Labels = labels(options.Self)
	var child *control.Child
	if flags.Mode != modeValidate && flags.ControlFD != standalone {
		conn, err := control.Open(flags.fd)
		if err != nil {
			return fail(p, exitUsage, fmt.Errorf("the agent starts the proxy; alone it wants --control-fd=none: %w", err))
		}
		child = &control.Child{Conn: conn, Epoch: flags.Epoch, Version: version.Get().Version, Log: logger}
		options.Listen, options.Release = child.Listen, child.Release
		options.Proof = func(nonce [listener.ProofBytes]byte, dst netip.AddrPort) { child.Prove(nonce[:], dst) }
	}
	server, err := proxy.New(options)
	switch {
	case err != nil:
		return fail(p, 1, err)
	case flags.Mode == modeValidate:
		return validated(server, p)
	case child == nil:
		return serve(server, newAlone(bootstrap, settings), p)
	}
	return serve(server, child, p)
}

// life is who tells the proxy what to do until ctx ends.
type life interface {
	Run(ctx context.Context, s control.Service) error
}

// serve runs the proxy until SIGTERM, the agent's death, a fatal error, or until another proxy has taken over and nothing
// is left to be carried.
func serve(server *proxy.Server, child life, p Process) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-server.Fatal():
			cancel(err)
		case <-server.Left():
			cancel(nil)
		case <-ctx.Done():
		}
	}()
	go memory.ReleaseAfter(ctx, server.Warm())
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

// Take tells the sockets that listeners asked for from those every sidecar has.
func (s service) Take(sockets map[string]net.Listener) error {
	for name, socket := range sockets {
		if address, asked := control.AddressOf(name); asked {
			s.Inherit(address, socket)
			delete(sockets, name)
		}
	}
	return s.Server.Take(sockets)
}

func (s service) SetMemoryLimit(bytes int64) { debug.SetMemoryLimit(bytes) }

func proxyOptions(s agent.Settings, epoch int, p Process, logger logr.Logger) proxy.Options {
	return proxy.Options{
		Epoch:     epoch,
		Config:    config.Settings{OutboundPort: s.OutboundPort, InboundPort: s.InboundPort, KeepClient: s.Transparent},
		MaxConns:  maxConns(s.MaxConns),
		OwnPorts:  s.OwnPorts(),
		OnePort:   s.InboundPort == s.OutboundPort,
		AccessLog: p.Stdout,
		Log:       logger,
		UID:       uint32(os.Getuid()),
		Version:   versionText(),
	}
}

// versionText is how /server_info writes a version: commit, version, state of the tree, kind of build, TLS library.
func versionText() string {
	info := version.Get()
	tree := "Clean"
	if info.Modified {
		tree = "Modified"
	}
	return strings.Join([]string{info.Revision, info.Version, tree, "RELEASE", "Go"}, "/")
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
