// Command measure tells what it costs to hold the configuration of a mesh of 2000 clusters, 2000 virtual hosts and 20 000
// endpoints, come by delta ADS: resident memory before and after, and the heap in use. It starts itself a second time as
// the control plane, so that the server's memory isn't counted. Run it with
// `go run ./internal/proxy/config/source/sizes/measure [TABLES]`; the virtual hosts stand in so many route tables, 8 unless
// said.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config/source"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

const (
	patience = 2 * time.Minute
	settle   = 3 * time.Second // packing goes on after the source is ready
)

func main() {
	run := measure
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		run = serve
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func measure() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := exec.CommandContext(ctx, self, append([]string{"serve"}, os.Args[1:]...)...)
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer func() { cancel(); _ = server.Wait() }()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("waiting for the control plane: %w", err)
	}
	return hold(ctx, strings.TrimSpace(address))
}

// hold takes the configuration and tells what that cost.
func hold(ctx context.Context, address string) error {
	base := resident()
	ads := &xds.ConfigSource{ADS: true}
	s, err := source.New(source.Options{Bootstrap: &xds.BootstrapConfig{ADS: xds.ADSConfig{Target: address, Delta: true}, CDS: ads, LDS: ads}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	defer func() { cancel(); running.Wait() }()
	began := time.Now()
	for !s.Ready() {
		if ctx.Err() != nil {
			return fmt.Errorf("not ready: %w, errors %v", ctx.Err(), s.Errors())
		}
		time.Sleep(time.Millisecond)
	}
	took := time.Since(began)
	atOnce := resident()
	time.Sleep(settle)
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Printf(`{"ready_ms":%d,"rss_base_kib":%d,"rss_ready_kib":%d,"rss_kib":%d,"heap_kib":%d}`+"\n", took.Milliseconds(), base, atOnce, resident(), m.HeapAlloc>>10)
	runtime.KeepAlive(s)
	return nil
}

// resident is VmRSS in KiB, 0 if the system doesn't tell.
func resident() (kib int) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, _ = fmt.Sscan(rest, &kib)
		}
	}
	return kib
}
