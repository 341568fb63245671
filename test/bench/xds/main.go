//go:build linux

// Command xds measures what it costs the proxy to hold the configuration of a mesh of 2000 clusters, 2000 virtual hosts
// and 20 000 endpoints that comes by delta ADS, and prints `xds/<name> <unit> <value>` lines: the proxy's resident memory
// at rest and with it, and the time until it is ready. The product's own binary is measured; this program is the control
// plane (serve.go). The virtual hosts stand in 8 route tables, or in as many as the argument says.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
)

const (
	bar      = 45 // MiB
	patience = 2 * time.Minute
	settle   = 5 * time.Second // packing goes on after the proxy is ready
)

func main() {
	runtime.LockOSThread() // the proxy dies with the thread that started it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench xds:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

func run(ctx context.Context, w io.Writer) error {
	dir, err := os.MkdirTemp("", "pillion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root, err := binary.Root(ctx)
	if err != nil {
		return err
	}
	sidecar := filepath.Join(dir, "pillion-sidecar")
	if err := binary.Build(ctx, root, sidecar, "./sidecar"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	empty, err := measure(ctx, sidecar, dir, &plane{})
	if err != nil {
		return fmt.Errorf("without configuration: %w", err)
	}
	mesh, err := newPlane()
	if err != nil {
		return err
	}
	full, err := measure(ctx, sidecar, dir, mesh)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "xds/rss_empty mib %.1f\n", empty.rss)
	fmt.Fprintf(w, "xds/rss_mesh mib %.1f (bar %d)\n", full.rss, bar)
	fmt.Fprintf(w, "xds/rss_mesh_peak mib %.1f\n", full.peak)
	fmt.Fprintf(w, "xds/ready_mesh ms %d\n", full.ready.Milliseconds())
	return nil
}

// figures are one proxy's.
type figures struct {
	rss, peak float64 // MiB
	ready     time.Duration
}

// measure runs a proxy that takes its configuration from p.
func measure(ctx context.Context, sidecar, dir string, p *plane) (f figures, err error) {
	address, stop, err := p.serve(ctx)
	if err != nil {
		return f, err
	}
	defer stop()
	admin, err := freeAddress(ctx)
	if err != nil {
		return f, err
	}
	path := filepath.Join(dir, "bootstrap.yaml")
	if err := os.WriteFile(path, bootstrap(address, admin), 0o600); err != nil {
		return f, err
	}
	cmd := exec.CommandContext(ctx, sidecar, "proxy", "--control-fd=none", "--log-level=warning", "-c", path)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return f, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if err := ready(ctx, "http://"+admin.String()+"/ready"); err != nil {
		return f, err
	}
	f.ready = time.Since(began)
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return f, ctx.Err()
	}
	f.rss, f.peak, err = resident(cmd.Process.Pid)
	return f, err
}

// ready waits until url answers with 200.
func ready(ctx context.Context, url string) error {
	for {
		if last := ask(ctx, url); last == nil {
			return nil
		} else if ctx.Err() != nil {
			return fmt.Errorf("the proxy isn't ready: %w", last)
		}
		time.Sleep(time.Millisecond)
	}
}

func ask(ctx context.Context, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

func freeAddress(ctx context.Context) (*net.TCPAddr, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr), nil //nolint:errcheck // what listening on TCP gives
}

// resident is VmRSS and VmHWM in MiB.
func resident(pid int) (now, peak float64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		for name, to := range map[string]*float64{"VmRSS:": &now, "VmHWM:": &peak} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				_, _ = fmt.Sscan(rest, to)
				*to /= 1 << 10
			}
		}
	}
	return now, peak, nil
}

// bootstrap is the proxy's configuration of itself.
func bootstrap(plane, admin *net.TCPAddr) []byte {
	return fmt.Appendf(nil, `
node: {id: bench, cluster: bench}
admin: {address: {socket_address: {address: %s, port_value: %d}}}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: xds-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %d}}}}]}]
`, admin.IP, admin.Port, plane.IP, plane.Port)
}
