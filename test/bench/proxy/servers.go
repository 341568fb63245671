//go:build linux

package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/template"
)

// server is one kind of proxy: one process, or two for the hop between them.
type server struct {
	name      string
	ports     map[string]int // of the first, by service
	processes []*process
}

// services are the ports a proxy has. inner is where the second proxy of an mTLS hop is reached.
var services = []string{"http", "log", "tls", "mtls", "inner", "h2c", "grpc", "tcp"}

// Size of the route table.
const (
	hostCount   = 100
	chosenHost  = 57
	prefixCount = 4
)

func hostNames() (names []string) {
	for i := range hostCount {
		names = append(names, hostName(i))
	}
	return names
}

func hostName(i int) string { return fmt.Sprintf("service-%d.shop.svc", i) }

func prefixes() (list []string) {
	for i := range prefixCount {
		list = append(list, fmt.Sprintf("/api/v%d/", i+1))
	}
	return list
}

// settings are what the configurations in conf are made of.
type settings struct {
	Name, Dir, Log, HostList string
	Ports                    map[string]int
	Backend                  backendPorts
	Second                   int // port of the second proxy of an mTLS hop
	Hosts, Prefixes          []string
	HTTP                     []httpListener // Pillion's
}

// httpListener is one with a connection manager.
type httpListener struct {
	Name, Dir, Log, Cluster  string
	Port                     int
	Hosts, Prefixes          []string
	Observed, Secure, Mutual bool
}

// files is one file of conf each, with what it is called at run time.
var files = map[string]string{pillion: "pillion.yaml", nginx: "nginx.conf", haproxy: "haproxy.cfg", haproxySplice: "haproxy.cfg"}

//go:embed conf
var conf embed.FS

// startServer starts a kind of proxy. Its error is exec.ErrNotFound if its program isn't installed.
func (r *rig) startServer(ctx context.Context, name string) (*server, error) {
	s := &server{name: name}
	inner, innerPorts, err := r.startProxy(ctx, name, name+"-inner", 0)
	if err != nil {
		return nil, err
	}
	outer, ports, err := r.startProxy(ctx, name, name, innerPorts["inner"])
	if err != nil {
		inner.stop()
		return nil, err
	}
	s.ports, s.processes = ports, []*process{outer, inner}
	return s, nil
}

// startAlone starts a kind of proxy as one process.
func (r *rig) startAlone(ctx context.Context, name, as string) (*server, error) {
	p, ports, err := r.startProxy(ctx, name, as, 0)
	if err != nil {
		return nil, err
	}
	return &server{name, ports, []*process{p}}, nil
}

func (s *server) stop() {
	for _, p := range s.processes {
		p.stop()
	}
}

// startProxy starts one process of a kind and waits until it listens.
func (r *rig) startProxy(ctx context.Context, kind, as string, second int) (*process, map[string]int, error) {
	ports, err := freePorts(services)
	if err != nil {
		return nil, nil, err
	}
	cmd, err := r.proxyCommand(ctx, kind, as, ports, second)
	if err != nil {
		return nil, nil, err
	}
	p, err := launch(as, cmd)
	if err != nil {
		return nil, nil, err
	}
	if err := p.listening(ctx, ports["http"]); err != nil {
		p.stop()
		return nil, nil, err
	}
	return p, ports, nil
}

func (r *rig) proxyCommand(ctx context.Context, kind, as string, ports map[string]int, second int) (*exec.Cmd, error) {
	if kind == reverseProxy {
		return r.role(ctx, proxyCore, roleReverseProxy, local(ports["http"]), local(r.backend.HTTP)), nil
	}
	path, err := r.configure(kind, as, ports, second)
	if err != nil {
		return nil, err
	}
	switch kind {
	case pillion:
		cmd := command(ctx, proxyCore, r.sidecar, "proxy", "--control-fd=none", "-c", path)
		cmd.Env = append(os.Environ(), fmt.Sprintf("ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS=%d", descriptors))
		return cmd, nil
	case nginx:
		program, err := installed("nginx")
		return command(ctx, proxyCore, program, "-c", path, "-e", "stderr", "-p", r.dir), err
	default:
		program, err := installed("haproxy")
		return command(ctx, proxyCore, program, "-db", "-f", path), err
	}
}

// installed looks where administrators' programs are, too: root's PATH may lack it.
func installed(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", program))
}

// configure writes a proxy's configuration and returns its path.
func (r *rig) configure(kind, as string, ports map[string]int, second int) (string, error) {
	path := filepath.Join(r.dir, as+"-"+files[kind])
	t, err := template.ParseFS(conf, "conf/"+files[kind])
	if err != nil {
		return "", err
	}
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	return path, errors.Join(t.Execute(file, r.settings(as, ports, second)), file.Close())
}

func (r *rig) settings(as string, ports map[string]int, second int) settings {
	if second == 0 {
		second = ports["inner"]
	}
	s := settings{
		Name: as, Dir: r.dir, Log: filepath.Join(r.dir, as+".log"),
		HostList: filepath.Join(r.dir, "hosts"), Ports: ports, Backend: r.backend, Second: second,
		Hosts: hostNames(), Prefixes: prefixes(),
	}
	listener := func(name, cluster string) httpListener {
		return httpListener{Name: name, Dir: s.Dir, Log: s.Log, Cluster: cluster, Port: ports[name]}
	}
	http, log, tls, inner := listener("http", "backend"), listener("log", "backend"), listener("tls", "backend"), listener("inner", "backend")
	http.Hosts, http.Prefixes, log.Hosts, log.Prefixes = s.Hosts, s.Prefixes, s.Hosts, s.Prefixes
	log.Observed, tls.Secure, inner.Secure, inner.Mutual = true, true, true, true
	s.HTTP = []httpListener{http, log, tls, inner, listener("mtls", "mtls"), listener("h2c", "backend"), listener("grpc", "grpc")}
	return s
}

// freePorts finds a port for each name. Nothing keeps others from taking one before it is used; then starting fails.
func freePorts(names []string) (map[string]int, error) {
	ports := map[string]int{}
	for _, name := range names {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all have been found: they differ
		address, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return nil, fmt.Errorf("a TCP listener's address is %T", l.Addr())
		}
		ports[name] = address.Port
	}
	return ports, nil
}

// descriptors are what proxies and clients need for the connections of the memory case.
const descriptors = 65536

// raiseLimit lets children have more descriptors, if it may, and returns how many they have.
func raiseLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	if limit.Cur >= descriptors {
		return limit.Cur
	}
	more := syscall.Rlimit{Cur: descriptors, Max: max(limit.Max, descriptors)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more); err == nil {
		return descriptors
	}
	return limit.Max
}

func (r *rig) writeHostList() error {
	text := strings.Join(slices.Concat(hostNames(), withSuffix(hostNames(), ".cluster.local")), "\n") + "\n"
	return os.WriteFile(filepath.Join(r.dir, "hosts"), []byte(text), 0o600)
}

func withSuffix(names []string, suffix string) []string {
	for i := range names {
		names[i] += suffix
	}
	return names
}
