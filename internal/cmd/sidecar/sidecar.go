// Package sidecar is the command line of pillion-sidecar: a subcommand, its flags and the environment come in; the
// agent, the proxy or a small client runs; an exit code goes out. One file a subcommand. Read Run first.
package sidecar

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/agent/control"
)

// Exit codes, besides 0 and 1.
const (
	exitUsage     = 64 // flags or environment are wrong
	exitAgentGone = 70 // the proxy's agent has died
)

// Process is what a command line may use of the process.
type Process struct {
	Environ        []string
	Stdout, Stderr io.Writer
	Files          fs.FS // its root; nil: no file holds settings
}

var usage = fmt.Sprintf(`pillion-sidecar runs beside an application and carries its traffic.

  agent     open the sockets, run and supervise the proxy, serve the operations API (what the container runs)
  proxy     carry traffic; started by the agent
  capture   lead the pod's traffic into the sidecar; it runs pillion-capture
  wait      wait until the sidecar is ready
  drain     start draining; the preStop hook of native sidecars
  request   METHOD PATH: call the operations API and print the answer
  version   say which build this is

The proxy's flags, as Envoy names them; the agent sets them:

  -c, --config-path FILE    Envoy's bootstrap, JSON or YAML; without one every connection goes to where it was going
  --config-yaml TEXT        the bootstrap itself, instead of a file
  --mode serve|validate     validate only reads the bootstrap and its static resources, and exits
  --control-fd N|none       where the agent is; none: alone, with sockets of its own (default %d)
  --restart-epoch N         how many proxies were before this one (default 0)
  --drain-time-s N          over how many seconds HTTP clients are asked to leave a proxy that is drained; connections of
                            removed listeners and filter chains are closed that long after (default %s)
  --drain-strategy gradual|immediate   immediate: clients are asked at once (default gradual)
  --parent-shutdown-time-s N           after how long the agent ends the proxy before this one (default %s); only shown
`, control.FD, secondsOf(agent.DefaultDrainTime), secondsOf(agent.DefaultParentShutdown))

// Run executes argv, the name the program was called by included, and returns the exit code. capture is looked for
// before anything else is made: it runs with NET_ADMIN and must start in milliseconds.
func Run(argv []string, p Process) int {
	name, args := called(argv)
	if name == "capture" {
		return runCapture(args, p)
	}
	switch name {
	case "agent":
		return runAgent(args, p)
	case "proxy":
		return runProxy(args, p)
	case "wait":
		return runWait(args, p)
	case "drain":
		return runDrain(args, p)
	case "request":
		return runRequest(args, p)
	case "version":
		return runVersion(args, p)
	case "help", "--help", "-h":
		fmt.Fprint(p.Stdout, usage)
		return 0
	case "":
		fmt.Fprint(p.Stderr, usage)
		return exitUsage
	}
	fmt.Fprintf(p.Stderr, "pillion-sidecar: unknown subcommand %q\n\n%s", name, usage)
	return exitUsage
}

// called returns the subcommand and its arguments. Links named after Istio's programs, and Istio's way to start its
// agent (`pilot-agent proxy sidecar …`), keep foreign templates and hooks working.
func called(argv []string) (name string, args []string) {
	if len(argv) == 0 {
		return "", nil
	}
	if filepath.Base(argv[0]) == "istio-iptables" {
		return "capture", argv[1:]
	}
	if len(argv) == 1 {
		return "", nil
	}
	name, args = argv[1], argv[2:]
	switch {
	case name == "istio-iptables":
		name = "capture"
	case name == "proxy" && !slices.ContainsFunc(args, isControlFlag):
		name = "agent"
	}
	return name, args
}

func isControlFlag(arg string) bool {
	return strings.HasPrefix(strings.TrimLeft(arg, "-"), "control-fd")
}
