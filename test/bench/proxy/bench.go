package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cores: proxies have the first, client and backend the second.
const (
	proxyCore = "0"
	otherCore = "1"
)

// bench are the processes that run, one proxy of each kind.
type bench struct {
	dir     string
	backend string // address
	proxies map[string]*process
	all     []*process
}

// process is one of them. A server of several processes is measured by the one that works.
type process struct {
	name    string
	cmd     *exec.Cmd
	worker  int
	address string
}

func start(ctx context.Context) (*bench, error) {
	dir, err := os.MkdirTemp("", "pillion-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, proxies: map[string]*process{}}
	if err := b.startAll(ctx); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

func (b *bench) startAll(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	backend, err := b.run(ctx, "backend", otherCore, func(address string) (*exec.Cmd, error) {
		return role(ctx, self, roleBackend, address), nil
	})
	if err != nil {
		return err
	}
	b.backend = backend.address
	for name, command := range map[string]func(string) (*exec.Cmd, error){
		"pillion": func(at string) (*exec.Cmd, error) { return role(ctx, self, roleProxy, at, b.backend), nil },
		"pillion_istio": func(at string) (*exec.Cmd, error) {
			return role(ctx, self, roleProxy, at, b.backend, "log", "istio"), nil
		},
		"nginx":   func(at string) (*exec.Cmd, error) { return b.nginx(ctx, at) },
		"haproxy": func(at string) (*exec.Cmd, error) { return b.haproxy(ctx, at) },
	} {
		p, err := b.run(ctx, name, proxyCore, command)
		if errors.Is(err, exec.ErrNotFound) {
			fmt.Fprintf(os.Stderr, "bench proxy: no %s: skipped\n", name)
			continue
		}
		if err != nil {
			return err
		}
		b.proxies[name] = p
	}
	return nil
}

func role(ctx context.Context, self, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+name, "GOMAXPROCS=1")
	return cmd
}

// run starts a process on a core and waits until it listens.
func (b *bench) run(ctx context.Context, name, core string, command func(address string) (*exec.Cmd, error)) (*process, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	cmd, err := command(address)
	if err != nil {
		return nil, err
	}
	path, err := exec.LookPath(cmd.Path)
	if err != nil {
		return nil, exec.ErrNotFound
	}
	pinned := exec.CommandContext(ctx, "taskset", append([]string{"-c", core, path}, cmd.Args[1:]...)...)
	pinned.Env, pinned.Dir, pinned.Stderr = cmd.Env, b.dir, os.Stderr
	if err := pinned.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: pinned, worker: pinned.Process.Pid, address: address}
	b.all = append(b.all, p)
	return p, p.wait(ctx)
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (p *process) wait(ctx context.Context) error {
	for range 500 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
		if err == nil {
			_ = conn.Close()
			p.worker = worker(p.cmd.Process.Pid)
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%s doesn't listen on %s", p.name, p.address)
}

// worker is the child of pid if it has one: nginx works in it.
func worker(pid int) int {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if fields := strings.Fields(string(children)); err == nil && len(fields) > 0 {
		if child, err := strconv.Atoi(fields[len(fields)-1]); err == nil {
			return child
		}
	}
	return pid
}

func (b *bench) stop() {
	for _, p := range slices.Backward(b.all) {
		_ = p.cmd.Process.Signal(os.Interrupt)
		done := time.AfterFunc(2*time.Second, func() { _ = p.cmd.Process.Kill() })
		_ = p.cmd.Wait()
		done.Stop()
	}
	os.RemoveAll(b.dir)
}

const nginxConfig = `
daemon off; master_process on; worker_processes 1; pid %[1]s/nginx.pid; error_log /dev/null crit;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/temp; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream backend { server %[3]s; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 3600s; }
  server {
    listen %[2]s; server_name bench;
    location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }
  }
}`

func (b *bench) nginx(ctx context.Context, address string) (*exec.Cmd, error) {
	path := filepath.Join(b.dir, "nginx.conf")
	err := os.WriteFile(path, fmt.Appendf(nil, nginxConfig, b.dir, address, b.backend), 0o600)
	return exec.CommandContext(ctx, "nginx", "-c", path, "-e", "/dev/null", "-p", b.dir), err
}

const haproxyConfig = `
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  http-reuse always
frontend in
  bind %s
  acl bench hdr(host) -m beg 127.0.0.1
  use_backend out if bench
  default_backend out
backend out
  server backend %s
`

func (b *bench) haproxy(ctx context.Context, address string) (*exec.Cmd, error) {
	path := filepath.Join(b.dir, "haproxy.cfg")
	err := os.WriteFile(path, fmt.Appendf(nil, haproxyConfig, address, b.backend), 0o600)
	return exec.CommandContext(ctx, "haproxy", "-db", "-f", path), err
}
