//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
)

// rig is what runs: a backend, and one proxy of each kind that is installed.
type rig struct {
	dir     string // of configurations, logs, certificates
	self    string // this program, which is also client and backend
	sidecar string // the product
	limit   uint64 // descriptors
	spare   int    // rounds that may still be run again

	backend  backendPorts
	backends *process
	servers  map[string]*server
}

// backendPorts are the backend's, by what it speaks.
type backendPorts struct{ HTTP, TCP, GRPC int }

func newRig(ctx context.Context, o options) (*rig, error) {
	dir, err := os.MkdirTemp("", "pillion-bench-")
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir, limit: raiseLimit(), servers: map[string]*server{}}
	if err := errors.Join(r.prepare(ctx, o), r.startAll(ctx)); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (r *rig) prepare(ctx context.Context, o options) (err error) {
	if r.self, err = os.Executable(); err != nil {
		return err
	}
	if r.sidecar, err = filepath.Abs(o.binary); o.binary == "" {
		r.sidecar = filepath.Join(r.dir, "pillion-sidecar")
		err = build(ctx, r.sidecar)
	}
	return errors.Join(err, writeCertificates(r.dir), r.writeHostList())
}

// build makes the product's binary as its image has it.
func build(ctx context.Context, path string) error {
	root, err := binary.Root(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "building pillion-sidecar")
	return binary.Build(ctx, root, path, "./sidecar")
}

func (r *rig) startAll(ctx context.Context) error {
	if err := r.startBackend(ctx); err != nil {
		return err
	}
	for _, name := range []string{pillion, nginx, haproxy, haproxySplice, reverseProxy} {
		s, err := r.startKind(ctx, name)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(os.Stderr, "bench proxy: no %s: skipped\n", name)
			continue
		}
		if err != nil {
			return err
		}
		r.servers[name] = s
	}
	return nil
}

// startKind starts what a kind needs for its cases.
func (r *rig) startKind(ctx context.Context, name string) (*server, error) {
	if name == haproxySplice || name == reverseProxy {
		return r.startAlone(ctx, name, name)
	}
	return r.startServer(ctx, name)
}

func (r *rig) startBackend(ctx context.Context) error {
	ports, err := freePorts([]string{"http", "tcp", "grpc"})
	if err != nil {
		return err
	}
	r.backend = backendPorts{HTTP: ports["http"], TCP: ports["tcp"], GRPC: ports["grpc"]}
	cmd := r.role(ctx, otherCore, roleBackend, local(r.backend.HTTP), local(r.backend.TCP), local(r.backend.GRPC))
	if r.backends, err = launch("backend", cmd); err != nil {
		return err
	}
	return errors.Join(r.backends.listening(ctx, r.backend.HTTP), r.backends.listening(ctx, r.backend.GRPC))
}

// role is this program as a client, a backend or a peer.
func (r *rig) role(ctx context.Context, core, name string, args ...string) *exec.Cmd {
	cmd := command(ctx, core, r.self, args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+name)
	return cmd
}

// stop ends everything that was started and removes what it left.
func (r *rig) stop() {
	for _, s := range r.servers {
		s.stop()
	}
	if r.backends != nil {
		r.backends.stop()
	}
	os.RemoveAll(r.dir)
}
