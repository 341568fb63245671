package smuggling

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

// opinions start a server that passes on to a backend what it understood of a request. They return its address; empty: the
// program isn't here.
var opinions = map[string]func(t *testing.T, version int, backend string) string{"nginx": nginx, "haproxy": haproxy}

const nginxConf = `daemon off; master_process off; pid nginx.pid; error_log stderr warn; worker_rlimit_nofile 1024;
events { worker_connections 256; }
http {
  access_log off; client_max_body_size 0; underscores_in_headers on;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {
    listen %s%s;
    location / { proxy_pass http://%s; proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection ""; }
  }
}`

func nginx(t *testing.T, version int, backend string) string {
	kind := ""
	if version == 2 {
		kind = " http2"
	}
	address := unused(t, "127.77.0.1")
	dir := configured(t, "nginx.conf", fmt.Sprintf(nginxConf, address, kind, backend))
	return running(t, address, "nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
}

const haproxyConf = `global
  maxconn 256
defaults
  mode http
  timeout connect 60s
  timeout client 60s
  timeout server 60s
  option http-buffer-request
frontend in
  bind %s%s
  default_backend out
backend out
  http-reuse never
  server s %s
`

func haproxy(t *testing.T, version int, backend string) string {
	kind := ""
	if version == 2 {
		kind = " proto h2"
	}
	address := unused(t, "127.77.0.2")
	dir := configured(t, "haproxy.cfg", fmt.Sprintf(haproxyConf, address, kind, backend))
	return running(t, address, "haproxy", "-db", "-f", filepath.Join(dir, "haproxy.cfg"))
}

// unused returns a free port of an address that nobody else uses.
func unused(t *testing.T, ip string) string {
	t.Helper()
	l, err := net.Listen("tcp4", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func configured(t *testing.T, name, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// running starts a program and waits until it listens.
func running(t *testing.T, address, program string, args ...string) string {
	t.Helper()
	path := found(program)
	if path == "" {
		t.Logf("%s is missing (make deps installs it): its opinion isn't asked", program)
		return ""
	}
	var said bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	rig.Eventually(t, program+" listens", func() error {
		select {
		case <-ended:
			t.Fatalf("%s has ended: %s", program, said.String())
		default:
		}
		c, err := net.Dial("tcp4", address)
		if err == nil {
			c.Close()
		}
		return err
	})
	return address
}

// found looks where administrators' programs are, too.
func found(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	return ""
}
