package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/state"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

// machine is what a cluster must not change, by kind.
type machine map[string][]string

// TestNothingIsLeft brings a node with everything up and down again, having run a pod, and looks for what wasn't there before.
func TestNothingIsLeft(t *testing.T) {
	program, base := commandForTest(t)
	before := look(base)
	if out, err := run(t.Context(), program, "up", "--name", "left", "--with", "cert-manager"); err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	c := testenv.Open(t, "left")
	c.LoadApp(t)
	namespace := "default"
	create(t, c, namespace, appPod("server", "serve"))
	c.WaitPod(t, namespace, "server", time.Minute, testenv.Ready)
	if during := look(base); len(difference(before, during)) == 0 {
		t.Fatal("a running node isn't seen: this test couldn't fail")
	}
	if out, err := run(t.Context(), program, "down", "--name", "left"); err != nil {
		t.Fatalf("down: %v\n%s", err, out)
	}
	expectSame(t, before, base)
}

// TestKilledUp ends `up` at several moments by SIGKILL; `clean` must find whatever that left.
func TestKilledUp(t *testing.T) {
	program, base := commandForTest(t)
	before := look(base)
	for _, after := range []time.Duration{100, 300, 1000, 2000, 3000, 10000} {
		after *= time.Millisecond
		t.Run(after.String(), func(t *testing.T) {
			up := exec.Command(program, "up", "--name", "killed")
			up.Stdout, up.Stderr = os.Stdout, os.Stderr
			if err := up.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(after, func() { _ = up.Process.Kill() })
			_ = up.Wait() // killed, or done before that
			timer.Stop()
			if out, err := run(t.Context(), program, "clean"); err != nil {
				t.Fatalf("clean: %v\n%s", err, out)
			}
			expectSame(t, before, base)
		})
	}
}

// TestKilledInit ends a running node's init by SIGKILL, as the kernel does when memory is short.
func TestKilledInit(t *testing.T) {
	program, base := commandForTest(t)
	before := look(base)
	if out, err := run(t.Context(), program, "up", "--name", "init"); err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	dir, err := state.For("init")
	if err != nil {
		t.Fatal(err)
	}
	record, err := dir.Read()
	if err != nil {
		t.Fatal(err)
	}
	if err := record.Init.Kill(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t.Context(), program, "clean"); err != nil {
		t.Fatalf("clean: %v\n%s", err, out)
	}
	expectSame(t, before, base)
}

// commandForTest builds the command and gives the test a folder of its own for state folders, so that `clean` doesn't
// reach anybody else's cluster.
func commandForTest(t *testing.T) (program, base string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv(testenv.RequireEnv) == "1" {
			t.Fatal("needs root")
		}
		t.Skip("skipped: a node needs root")
	}
	base, err := os.MkdirTemp("/var/tmp", "pc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(state.BaseEnv, base)
	root, err := binary.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(t.TempDir(), "cluster")
	if err := binary.Build(t.Context(), root, program, "./test/cluster"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := run(context.Background(), program, "clean"); err != nil {
			t.Errorf("clean: %v\n%s", err, out)
		}
		if err := os.Remove(base); err != nil {
			t.Errorf("state folders are left: %v", err)
		}
	})
	return program, base
}

const commandTimeout = 30 * time.Minute // the first builds of Kubernetes and cert-manager included

func run(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	return string(out), err
}

// look lists what a node could leave. Processes are those in other pid namespaces and those that name the state folder:
// other programs of this machine come and go meanwhile. So do nodes of other tests, whose processes and containers
// don't count.
func look(base string) machine {
	others := otherNodes(base)
	m := machine{
		"processes":    processes(base, others),
		"state":        list(base),
		"cgroups":      cgroups(len(others) > 0),
		"/var/lib/cni": list("/var/lib/cni"),
		"machine-wide settings": {
			read("/proc/sys/vm/overcommit_memory"), read("/proc/sys/kernel/panic"), read("/proc/sys/kernel/panic_on_oops"),
			read("/proc/sys/net/netfilter/nf_conntrack_max"), read("/proc/sys/net/ipv4/ip_forward"),
		},
		"mounts": mounts(base),
		"links":  output("ip", "-o", "link"),
		"tables": output("nft", "list", "tables"),
		"routes": output("ip", "route", "show", "table", "all"),
	}
	for _, path := range []string{"/var/lib/kubelet", "/var/log/pods", "/var/log/containers", "/opt/cni", "/opt/containerd",
		"/etc/cni", "/usr/libexec/kubernetes", "/run/containerd", "/run/netns"} {
		m["folder "+path] = list(path)
	}
	return m
}

// otherNodes are the pid namespaces of nodes that have their state elsewhere.
func otherNodes(base string) []string {
	var out []string
	records, _ := filepath.Glob("/var/tmp/pillion-cluster-*/state.json")
	for _, path := range records {
		var record state.Record
		if json.Unmarshal([]byte(read(path)), &record) != nil || record.APIOnly || strings.HasPrefix(path, base) {
			continue
		}
		if namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", record.Init.PID)); err == nil {
			out = append(out, namespace)
		}
	}
	return out
}

func processes(base string, others []string) []string {
	own, _ := os.Readlink("/proc/self/ns/pid")
	var out []string
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		namespace, err := os.Readlink(folder + "/ns/pid")
		command := read(folder + "/cmdline")
		if err == nil && !slices.Contains(others, namespace) && (namespace != own || strings.Contains(command, base+"/")) {
			out = append(out, folder+" "+strings.ReplaceAll(command, "\x00", " "))
		}
	}
	return out
}

// mounts are this namespace's without those of network namespaces' files, which other tests make.
func mounts(base string) []string {
	var out []string
	for line := range strings.Lines(read("/proc/self/mountinfo")) {
		if strings.Contains(line, base) || strings.Contains(line, "containerd") || strings.Contains(line, "kubelet") {
			out = append(out, line)
		}
	}
	return out
}

func cgroups(othersRun bool) []string {
	var out []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && !(othersRun && strings.Contains(path, "/k8s.io")) {
			out = append(out, path)
		}
		return nil
	})
	return out
}

func list(folder string) []string {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return []string{"none"}
	}
	out := []string{folder}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func read(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "none"
	}
	return string(data)
}

func output(name string, args ...string) []string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return []string{fmt.Sprint(err)}
	}
	return strings.Split(string(out), "\n")
}

// difference lists what's in one only.
func difference(before, after machine) []string {
	var out []string
	for kind := range before {
		for _, line := range after[kind] {
			if !slices.Contains(before[kind], line) {
				out = append(out, "new among "+kind+": "+line)
			}
		}
		if kind == "processes" || kind == "cgroups" {
			continue // somebody else's may have ended
		}
		for _, line := range before[kind] {
			if !slices.Contains(after[kind], line) {
				out = append(out, "gone from "+kind+": "+line)
			}
		}
	}
	return out
}

// expectSame polls: the kernel removes a network namespace's last parts a moment after its last process, and tests of
// other packages make and remove links meanwhile.
func expectSame(t *testing.T, before machine, base string) {
	t.Helper()
	var left []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if left = difference(before, look(base)); len(left) == 0 {
			return
		}
	}
	t.Errorf("the machine isn't as before:\n%s", strings.Join(left, "\n"))
}
