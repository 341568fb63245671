//go:build linux

package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

// childMark makes this test binary a capture binary.
const childMark = "PILLION_TEST_CAPTURE"

func TestMain(m *testing.M) {
	if os.Getenv(childMark) != "" {
		os.Exit(Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// process runs a command line as a process of its own, started by the calling thread with these rights.
func process(binary, line string, rights *syscall.SysProcAttr) outcome {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(binary, strings.Fields(line)...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = []string{childMark + "=yes"}, &stdout, &stderr, rights
	err := cmd.Run()
	o := outcome{code: cmd.ProcessState.ExitCode()}
	if o.code < 0 && err != nil {
		stderr.WriteString(err.Error())
	}
	return o.read(stdout, stderr)
}

// self is this binary even for a user who may not look into its folder.
const self = "/proc/self/exe"

// nobody is a user with no rights but those named.
func nobody(capabilities ...uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1337, Gid: 1337}, AmbientCaps: capabilities}
}

// life is what an init container, and then somebody who looks after it, do.
func life(t *testing.T, run func(line string) outcome) {
	t.Helper()
	run(line).expect(t, "apply", 0, "applied")
	run("--run-validation "+line).expect(t, "again", 0, "unchanged")
	run("verify "+line).expect(t, "verify", 0, "verified")
	run("diff -x 10.9.0.0/16 "+line).expect(t, "diff", 79, "differs", "missing rule output.bypass.dst4")
	run("explain "+line).expect(t, "explain", 0, "", "0 connections")
	run("clean --record=").expect(t, "clean", 0, "cleaned")
}

func TestNetAdminIsAllItTakes(t *testing.T) {
	pod := nstest.NewPod(t)
	pod.Must(t, func() error {
		life(t, func(line string) outcome { return process(self, line, nobody(unix.CAP_NET_ADMIN)) })
		process(self, line, nobody()).expect(t, "without it", 77, "failed", "NET_ADMIN")
		return nil
	})
}

// As root in a container that may do nothing else, on a root file system nobody can write to.
func TestReadOnlyRoot(t *testing.T) {
	pod, file := nstest.NewPod(t), filepath.Join(t.TempDir(), "capture.json")
	err := <-pod.Thread(func() error {
		if err := errors.Join(nstest.ReadOnlyRoot(), nstest.KeepOnly(unix.CAP_NET_ADMIN)); err != nil {
			return err
		}
		if err := os.WriteFile(file, nil, 0o600); !errors.Is(err, syscall.EROFS) {
			t.Errorf("writing a file: %v, want a read-only file system", err)
		}
		life(t, func(line string) outcome { return process(self, line, nil) })
		process(self, strings.TrimSuffix(line, "--record="), nil).expect(t, "default record", 0, "applied")
		process(self, line+file, nil).expect(t, "record asked for", 1, "unchanged", "the rules are in force, but")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A pod with hostUsers: false: root in a user namespace that knows no other user, not even the proxy's.
func TestUserNamespaceWithOneUser(t *testing.T) {
	nstest.New(t) // skips where namespaces can't be had
	rights := &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 1}},
		Credential:  &syscall.Credential{NoSetGroups: true}, // become that root: who started it isn't known there
	}
	process(self, "--run-validation "+line, rights).expect(t, "apply", 0, "applied")
	process(self, "--run-validation -c eth7 -o 90 -x 10.0.0.0/8 --exclude-outbound-uids 5 "+line, rights).expect(t, "apply", 0, "applied")
}

// The binary may bring the right along in its file, for containers that start as another user.
func TestFileCapability(t *testing.T) {
	folder := t.TempDir()
	if err := errors.Join(os.Chmod(folder, 0o755), os.Chmod(filepath.Dir(folder), 0o755)); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(folder, "pillion-capture")
	if err := copyFile(self, program); err != nil {
		t.Fatal(err)
	}
	pod := nstest.NewPod(t)
	pod.Must(t, func() error {
		process(program, line, nobody()).expect(t, "a plain file", 77, "failed")
		return nil
	})
	if err := unix.Setxattr(program, "security.capability", fileCapability(unix.CAP_NET_ADMIN), 0); err != nil {
		t.Skipf("this file system has no file capabilities: %v", err)
	}
	pod.Must(t, func() error {
		life(t, func(line string) outcome { return process(program, line, nobody()) })
		return nil
	})
}

// fileCapability is struct vfs_cap_data, revision 2: effective, and permitted, of one capability below 32.
func fileCapability(capability int) []byte {
	const revision, effective = 2 << 24, 1
	data := binary.LittleEndian.AppendUint32(nil, revision|effective)
	data = binary.LittleEndian.AppendUint32(data, 1<<capability)
	return append(data, make([]byte, 12)...)
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// An image with nothing in it, and a kernel that lets nobody start a program: no /etc, no /proc, no resolv.conf, no nft.
func TestNothingButTheBinary(t *testing.T) {
	pod := nstest.NewPod(t)
	empty := t.TempDir()
	err := <-pod.Thread(func() error {
		if err := errors.Join(nstest.Chroot(empty), nstest.DenyPrograms()); err != nil {
			return err
		}
		if err := syscall.Exec("/any", nil, nil); !errors.Is(err, syscall.EACCES) {
			t.Errorf("starting a program: %v, want the filter's refusal", err)
		}
		life(t, func(line string) outcome { return call(line) })
		call("--redirect-dns "+line).expect(t, "no resolv.conf", 0, "applied", `"dns":"off"`, "--redirect-dns")
		call("--redirect-dns --capture-all-dns "+line).expect(t, "queries to anybody", 0, "applied", `"dns":"redirect:15053"`)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A namespace whose IPv6 is switched off: nothing of it is captured, and asking for it is an error that says what to do.
func TestNoIPv6(t *testing.T) {
	pod := nstest.NewPod(t)
	pod.Must(t, func() error {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0); err != nil {
			return err
		}
		life(t, func(line string) outcome { return call(line) })
		call(line).expect(t, "apply", 0, "applied", `"families":"ipv4"`)
		call("--ip-families dual "+line).expect(t, "dual", 69, "failed", "use --ip-families ipv4 to leave IPv6 alone")
		call("verify "+line).expect(t, "what was there before stays", 0, "verified")
		return nil
	})
}
