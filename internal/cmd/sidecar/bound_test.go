package sidecar

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

const boundBootstrap = `{"node": {"id": "n", "cluster": "c"}, "static_resources": {
  "listeners": [{"name": "own", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 7000}},
    "filter_chains": [{"filters": [{"name": "tcp", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "own", "cluster": "app"}}]}]}],
  "clusters": [{"name": "app", "type": "STATIC", "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [
    {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 7001}}}}]}]}}]}}`

// TestKilledUnderLoad kills the proxy while clients connect to a listener with a socket of its own: none is refused,
// since the agent holds the socket, and who waits is served by the next proxy.
func TestKilledUnderLoad(t *testing.T) {
	ns := nstest.NewPod(t).Namespace
	echoAt(t, ns, "127.0.0.1:7001")
	file := filepath.Join(filepath.Dir(runDir(t)), "bootstrap.json")
	if err := os.WriteFile(file, []byte(boundBootstrap), 0o644); err != nil {
		t.Fatal(err)
	}
	s := startSidecar(t, ns, "ISTIO_BOOTSTRAP_OVERRIDE="+file)
	s.eventually("the first connection", func() error { return echoed(ns) })

	clients := startDialers(ns)
	defer clients.stop()
	for range 2 {
		clients.more(s)
		pid := s.proxyPID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.eventually("another proxy", func() error {
			if now := s.proxyPID(); now == 0 || now == pid {
				return errors.New("none")
			}
			return nil
		})
		clients.more(s)
	}
	clients.stop()
	if n := clients.refused.Load(); n != 0 {
		t.Errorf("%d connections refused, %d served", n, clients.served.Load())
	}

	before := dialIn(t, ns, netip.MustParseAddrPort("127.0.0.1:7000"))
	if err := echo(before); err != nil {
		t.Fatal(err)
	}
	pid := s.proxyPID()
	s.signal(syscall.SIGSTOP) // no restart yet
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	expectClosed(t, before)
	waiting := make([]*net.TCPConn, 8)
	for i := range waiting {
		waiting[i] = dialIn(t, ns, netip.MustParseAddrPort("127.0.0.1:7000"))
	}
	s.signal(syscall.SIGCONT)
	for _, conn := range waiting {
		if err := echo(conn); err != nil {
			t.Errorf("a connection that waited was lost: %v", err)
		}
	}
}

// echoAt answers each connection with what it says.
func echoAt(t *testing.T, ns *nstest.Namespace, address string) {
	var l net.Listener
	ns.Must(t, func() (err error) { l, err = net.Listen("tcp", address); return err })
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
}

func echo(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 5))
	return err
}

// echoed makes one connection to the proxy.
func echoed(ns *nstest.Namespace) error {
	var conn net.Conn
	if err := ns.Do(func() (err error) { conn, err = net.Dial("tcp", "127.0.0.1:7000"); return err }); err != nil {
		return err
	}
	defer conn.Close()
	return echo(conn)
}

// dialers are clients that connect again and again.
type dialers struct {
	served, refused atomic.Int64
	over            atomic.Bool
	running         sync.WaitGroup
}

func startDialers(ns *nstest.Namespace) *dialers {
	l := &dialers{}
	for range 4 {
		l.running.Go(func() {
			for !l.over.Load() {
				switch err := echoed(ns); {
				case err == nil:
					l.served.Add(1)
				case errors.Is(err, syscall.ECONNREFUSED):
					l.refused.Add(1)
				} // else it was cut with the proxy that carried it
			}
		})
	}
	return l
}

// more waits until more connections have been served.
func (l *dialers) more(s *sidecar) {
	s.t.Helper()
	want := l.served.Load() + 50
	s.eventually("connections", func() error {
		if n := l.served.Load(); n < want {
			return fmt.Errorf("%d of %d, %d refused", n, want, l.refused.Load())
		}
		return nil
	})
}

func (l *dialers) stop() {
	l.over.Store(true)
	l.running.Wait()
}
