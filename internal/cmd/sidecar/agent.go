package sidecar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/log"
	"github.com/pillion-mesh/pillion/internal/memory"
	"github.com/pillion-mesh/pillion/internal/version"
)

// runAgent is PID 1 of the sidecar container.
func runAgent(args []string, p Process) int {
	settings, logger, err := load(args, p, func(s agent.Settings) string { return s.LogLevel })
	if err != nil {
		return fail(p, exitUsage, err)
	}
	switch err := settings.WriteGRPCBootstrap(p.Files); {
	case errors.Is(err, agent.ErrNoDiscovery): // the application may have a bootstrap of its own
		logger.Error(err, "gRPC's bootstrap isn't written")
	case err != nil:
		return fail(p, 1, err)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	a, err := agent.New(agent.Options{
		Settings: settings, Limits: agent.DefaultLimits, Log: logger, CGroup: "/sys/fs/cgroup", Rules: newRules(settings, logger),
		Command: agent.Command{Args: proxyCommand(settings), Env: p.Environ},
	})
	if err != nil {
		return fail(p, 1, err)
	}
	logger.Info("Agent started", "version", version.Get().String(), "uid", os.Getuid(), "pod", settings.PodNamespace+"/"+settings.PodName)
	if os.Getuid() == 0 && os.Getgid() != istio.ProxyUID {
		logger.Info("The agent runs as root: capture tells the sidecar's traffic by its UID or GID, so use UID 1337, or GID 1337")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go memory.ReleaseAfter(ctx, nil)
	if err := a.Run(signals); err != nil {
		return fail(p, 1, err)
	}
	return 0
}

// proxyCommand starts the proxy; what isn't here it reads from the same environment and files as the agent.
func proxyCommand(s agent.Settings) []string {
	command := []string{"pillion-sidecar", "proxy", s.Role, "--log-level=" + s.ProxyLogLevel,
		"--drain-time-s=" + secondsOf(s.DrainTime), "--parent-shutdown-time-s=" + secondsOf(s.ParentShutdown)}
	for _, flag := range [2]struct{ name, value string }{{"domain", s.Domain}, {"serviceCluster", s.ServiceCluster}} {
		if flag.value != "" {
			command = append(command, "--"+flag.name+"="+flag.value)
		}
	}
	return command
}

// load reads settings and makes the process's logger. Its lines go to stderr; stdout is the access log's.
func load(args []string, p Process, level func(agent.Settings) string) (agent.Settings, logr.Logger, error) {
	settings, ignored, err := agent.Load(args, p.Environ, p.Files)
	if err != nil {
		return settings, logr.Logger{}, err
	}
	logger, err := log.New(p.Stderr, log.Options{Level: level(settings), Format: settings.LogFormat})
	if err == nil && len(ignored) > 0 {
		logger.Info("Settings ignored: unknown, or not to be read", "settings", ignored)
	}
	return settings, logger, err
}

func fail(p Process, code int, err error) int {
	fmt.Fprintf(p.Stderr, "pillion-sidecar: %v\n", err)
	return code
}
