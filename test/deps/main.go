// Command deps looks for the programs that the demo and the tests start (with the argument bench: those that make bench
// starts), and installs the missing ones from the distribution if it can: as root, where apt-get is. Elsewhere it says
// what to install and what will be left out.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// need is one program, the Debian package it comes in, and what goes without it.
type need struct{ program, pkg, without string }

var needs = []need{
	{"etcd", "etcd-server", "the API server: integration tests, demo"},
	{"containerd", "containerd", "the node: e2e, demo"},
	{"runc", "runc", "the node: e2e, demo"},
	{"/usr/lib/cni/bridge", "containernetworking-plugins", "the node: e2e, demo"},
	{"iptables", "iptables", "the node: e2e, demo; tests of capture's iptables backend"},
	{"nft", "nftables", "capture's round-trip tests"},
	{"ip", "iproute2", "the node: e2e, demo"},
	{"nginx", "nginx-light", "second opinions on what the proxy forwards"},
	{"haproxy", "haproxy", "second opinions on what the proxy forwards"},
	{"gcc", "gcc", "the race detector"},
	{"/usr/include/stdio.h", "libc6-dev", "the race detector"},
}

// benchNeeds are for measuring the proxy beside others.
var benchNeeds = []need{
	{"nginx", "nginx-light", "the peer most bars are set by"},
	{"haproxy", "haproxy", "the peer of connections and bytes"},
	{"wrk", "wrk", "figures of HTTP/1.1"},
	{"h2load", "nghttp2-client", "figures of HTTP/2"},
	{"taskset", "util-linux", "any figure: processes are bound to cores"},
}

func main() {
	if err := run(os.Stderr, needsOf(os.Args[1:])); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(69)
	}
}

func needsOf(args []string) []need {
	if slices.Contains(args, "bench") {
		return benchNeeds
	}
	return needs
}

func run(out io.Writer, needs []need) error {
	missing := find(needs, present)
	if len(missing) == 0 {
		return nil
	}
	packages := packagesOf(missing)
	line := "apt-get install -y --no-install-recommends " + strings.Join(packages, " ")
	for _, n := range missing {
		fmt.Fprintf(out, "missing: %s (package %s); without it: %s\n", n.program, n.pkg, n.without)
	}
	if os.Geteuid() != 0 || !present("apt-get") {
		fmt.Fprintf(out, "not installing anything: that needs root and apt-get; on Debian or Ubuntu run\n  sudo %s\n", line)
		return nil
	}
	fmt.Fprintf(out, "installing: %s\n", line)
	if err := apt(out, "update", "-q"); err != nil {
		return err
	}
	return apt(out, append([]string{"install", "-y", "-q", "--no-install-recommends"}, packages...)...)
}

func find(all []need, present func(string) bool) []need {
	return slices.DeleteFunc(slices.Clone(all), func(n need) bool { return present(n.program) })
}

func packagesOf(missing []need) []string {
	var names []string
	for _, n := range missing {
		names = append(names, n.pkg)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// present: a path exists, or a name is in PATH or where administrators' programs are (root's PATH may lack it).
func present(program string) bool {
	if filepath.IsAbs(program) {
		_, err := os.Stat(program)
		return err == nil
	}
	if _, err := exec.LookPath(program); err == nil {
		return true
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err == nil {
			return true
		}
	}
	return false
}

// policyFile is what Debian's packages ask before they start a service.
const policyFile = "/usr/sbin/policy-rc.d"

// apt runs apt-get without questions.
func apt(out io.Writer, args ...string) error {
	allow, err := denyServices(policyFile)
	if err != nil {
		return err
	}
	defer allow()
	cmd := exec.Command("apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running apt-get %s: %w; install the packages by hand and try again", strings.Join(args, " "), err)
	}
	return nil
}

// denyServices keeps a package's installation from starting its service: a machine that only runs our tests must not
// end up with the distribution's etcd on its ports. A policy of the administrator's own stays as it is.
func denyServices(path string) (allow func(), err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keeping packages from starting services: %w", err)
	}
	defer file.Close()
	if _, err := file.WriteString("#!/bin/sh\nexit 101\n"); err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	return func() { os.Remove(path) }, nil
}
