// Package capture is the command line of pillion-capture, which `pillion-sidecar capture` runs: flags and environment in,
// options out, wiring, an exit code. Read Run first, then commands.go.
package capture

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/ipt"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/version"
)

// Exit codes.
const (
	exitDone       = 0
	exitRefused    = 1
	exitUsage      = 64
	exitNoBackend  = 69
	exitPermission = 77
	exitDiff       = 79
	exitVerify     = 126 // Istio's
)

// Run executes one command line. args excludes the program's name, environ has os.Environ's form. It returns the exit
// code of the process.
func Run(args, environ []string, stdout, stderr io.Writer) int {
	started := time.Now()
	command, err := plan.Parse(args, environment(environ))
	if err == nil && command.Name == "help" {
		fmt.Fprint(stdout, plan.Usage())
		return exitDone
	}
	r := &run{command: command, stdout: stdout, stderr: stderr, open: open}
	r.evidence = capture.Evidence{Message: "capture", Backend: "nftables", Why: "default", Foreign: []string{}, Warnings: []string{}}
	if err == nil {
		err = capture.In(command.Namespace, r.do)
	}
	r.evidence.MS = float64(time.Since(started).Microseconds()) / 1000
	return r.finish(err, stderr)
}

func environment(environ []string) plan.Environment {
	return plan.Environment{Vars: variables(environ), LookupUID: lookupUID, LookupGroup: lookupGroup, Resolvers: resolvers}
}

// resolvers are none if the file can't be read: then there's nobody whose queries could be captured, and the plan warns.
func resolvers() []netip.Addr {
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	return plan.ParseResolvConf(string(text))
}

func variables(environ []string) map[string]string {
	vars := make(map[string]string, len(environ))
	for _, line := range environ {
		if name, value, ok := strings.Cut(line, "="); ok {
			vars[name] = value
		}
	}
	return vars
}

func lookupUID(name string) (uint32, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, false
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(uid), err == nil
}

func lookupGroup(name string) (uint32, bool) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, false
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 32)
	return uint32(gid), err == nil
}

// open connects to the namespace of the calling thread.
func open() (capture.System, func(), error) {
	rules, lack := nft.Open()
	if lack != nil && !errors.Is(lack, nft.ErrUnsupported) {
		return capture.System{}, nil, lack
	}
	links, err := capture.OpenLinks()
	if err != nil {
		return capture.System{}, nil, errors.Join(err, rules.Close())
	}
	system := capture.System{Rules: rules, Links: links, Routes: links, LegacyTables: capture.LegacyTables, Version: version.Version}
	system.Backends = &capture.Backends{Lack: lack}
	if lack == nil {
		system.Backends.NFT = rules
	}
	return system, func() { _, _ = rules.Close(), links.Close() }, nil
}

// finish leaves the evidence, on stderr and in the record, and sorts the error into an exit code.
func (r *run) finish(err error, stderr io.Writer) int {
	code, hint := exitCode(err)
	if err != nil {
		if r.evidence.Result == "" {
			r.evidence.Result = capture.ResultFailed
		}
		r.evidence.Error = err.Error() + hint
		fmt.Fprintln(stderr, "pillion-capture: "+r.evidence.Error)
	}
	if r.command != nil && r.command.Name == "explain" {
		return code // it did nothing
	}
	if code == exitDone && r.record != nil && r.command.Record != "" {
		code = r.save(stderr)
	}
	if err := r.evidence.Write(stderr); err != nil && code == exitDone {
		code = exitRefused
	}
	return code
}

// save writes the record. Nobody asked for the default one: where its folder doesn't exist there's no agent to read it.
func (r *run) save(stderr io.Writer) int {
	err := capture.Record{Evidence: r.evidence, Plan: r.record}.Save(r.command.Record)
	if err == nil || !r.command.RecordAsk {
		return exitDone
	}
	fmt.Fprintf(stderr, "pillion-capture: the rules are in force, but: %v\n", err)
	r.evidence.Error = err.Error()
	return exitRefused
}

// exitCode sorts an error; the hint says what to do about it.
func exitCode(err error) (code int, hint string) {
	switch {
	case err == nil:
		return exitDone, ""
	case errors.Is(err, errVerify):
		return exitVerify, ""
	case errors.Is(err, errDiff):
		return exitDiff, ""
	case errors.Is(err, nft.ErrPermission):
		return exitPermission, `; add NET_ADMIN to securityContext.capabilities.add of the container that runs capture (istio-init)`
	case errors.Is(err, ipt.ErrNetRaw):
		return exitPermission, `; add NET_RAW beside NET_ADMIN to securityContext.capabilities.add, or choose another backend`
	case errors.Is(err, nft.ErrUnsupported):
		return exitNoBackend, "; missing: " + needs + "; or iptables, which the image with -iptables in its tag has"
	case errors.Is(err, plan.ErrNoBackend), errors.Is(err, capture.ErrFamily):
		return exitNoBackend, ""
	case errors.Is(err, errKernel), errors.Is(err, errRecord):
		return exitRefused, ""
	default:
		return exitUsage, ""
	}
}

// needs is what a kernel must have for our rules.
const needs = "nftables with NAT for family inet (Linux 5.2 or newer with CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT and CONFIG_NFT_REDIR, modules nf_tables, nft_chain_nat and nft_redir; for TPROXY CONFIG_NFT_TPROXY, for DNS and marks CONFIG_NFT_CT and CONFIG_NF_CONNTRACK_ZONES)"
