package sidecar

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/istio"
)

const appPort = 8080

// mesh is two pods with capture rules and a sidecar each, and an application in the second.
type mesh struct {
	client, server *sidecar
	accepted       chan *net.TCPConn
}

func newMesh(t *testing.T) *mesh { return newMeshWith(t) }

// newMeshWith gives the server's sidecar more environment.
func newMeshWith(t *testing.T, env ...string) *mesh {
	pod := nstest.NewPod(t)
	applyCapture(t, pod.Namespace)
	applyCapture(t, pod.Peer)
	m := applicationIn(t, pod.Peer)
	m.client, m.server = startSidecar(t, pod.Namespace), startSidecar(t, pod.Peer, env...)
	return m
}

// newTransparentMesh has TPROXY in the second pod, and its sidecar as injection makes it then.
func newTransparentMesh(t *testing.T) *mesh {
	pod := nstest.NewPod(t)
	applyCapture(t, pod.Namespace)
	applyCaptureBy(t, pod.Peer, "TPROXY")
	m := applicationIn(t, pod.Peer)
	m.client, m.server = startSidecar(t, pod.Namespace), startSidecarAs(t, pod.Peer, 0, "ISTIO_META_INTERCEPTION_MODE=TPROXY")
	return m
}

// applicationIn is a mesh with the application only.
func applicationIn(t *testing.T, ns *nstest.Namespace) *mesh {
	m := &mesh{accepted: make(chan *net.TCPConn, 16)}
	m.serve(t, ns, "tcp4")
	m.serve(t, ns, "tcp6")
	return m
}

func (m *mesh) serve(t *testing.T, ns *nstest.Namespace, network string) {
	var l net.Listener
	ns.Must(t, func() (err error) { l, err = net.Listen(network, fmt.Sprintf(":%d", appPort)); return err })
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.accepted <- conn.(*net.TCPConn)
		}
	}()
}

// connect dials the application from the other pod and returns both ends.
func (m *mesh) connect(t *testing.T, address string) (client, server *net.TCPConn) {
	t.Helper()
	client = dialIn(t, m.client.ns, netip.AddrPortFrom(netip.MustParseAddr(address), appPort))
	select {
	case server = <-m.accepted:
	case <-time.After(patience):
		t.Fatal("the connection doesn't come to the application")
	}
	t.Cleanup(func() { server.Close() })
	for _, c := range []*net.TCPConn{client, server} {
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	return client, server
}

func dialIn(t *testing.T, ns *nstest.Namespace, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	var conn net.Conn
	ns.Must(t, func() (err error) { conn, err = net.Dial("tcp", to.String()); return err })
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// TestThroughBothSidecars is the whole way: application, outbound sidecar, inbound sidecar, application, under the real
// capture rules.
func TestThroughBothSidecars(t *testing.T) {
	m := newMesh(t)
	for _, family := range []struct{ name, address, source string }{
		{"IPv4", nstest.PeerV4, istio.PassthroughV4},
		{"IPv6", nstest.PeerV6, istio.PassthroughV6},
	} {
		t.Run(family.name, func(t *testing.T) {
			t.Run("the application sees the sidecar's address", func(t *testing.T) {
				_, server := m.connect(t, family.address)
				got := server.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
				if got != netip.MustParseAddr(family.source) {
					t.Errorf("the application sees %v, want %v", got, family.source)
				}
			})
			t.Run("bytes", func(t *testing.T) { m.bytesAreEqual(t, family.address) })
			t.Run("half-close by the client", func(t *testing.T) {
				client, server := m.connect(t, family.address)
				halfClose(t, client, server)
			})
			t.Run("half-close by the server", func(t *testing.T) {
				client, server := m.connect(t, family.address)
				halfClose(t, server, client)
			})
			t.Run("reset by the client", func(t *testing.T) {
				client, server := m.connect(t, family.address)
				resetPasses(t, client, server)
			})
			t.Run("reset by the server", func(t *testing.T) {
				client, server := m.connect(t, family.address)
				resetPasses(t, server, client)
			})
			t.Run("reset after half-close", func(t *testing.T) {
				client, server := m.connect(t, family.address)
				if err := client.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				expectEOF(t, server)
				_ = client.SetLinger(0)
				client.Close()
				writeUntilReset(t, server)
			})
		})
	}
	t.Run("counters and log lines of both", m.evidence)
	t.Run("nothing is left open", m.nothingLeft)
}

// bytesAreEqual sends random data both ways at once, enough to be spliced.
func (m *mesh) bytesAreEqual(t *testing.T, address string) {
	before := m.client.metric("envoy_pillion_spliced_bytes_total", nil)
	client, server := m.connect(t, address)
	results := make(chan error, 4)
	request, reply := randomBytes(1, 5<<20), randomBytes(2, 3<<20)
	go func() { results <- send(client, request) }()
	go func() { results <- send(server, reply) }()
	go func() { results <- receive(server, request) }()
	go func() { results <- receive(client, reply) }()
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if spliced := m.client.metric("envoy_pillion_spliced_bytes_total", nil) - before; spliced < 7<<20 {
		t.Errorf("only %v of 8 MiB were spliced", spliced)
	}
}

func randomBytes(seed uint64, n int) []byte {
	source := rand.New(rand.NewPCG(seed, seed))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(source.Uint32())
	}
	return b
}

func send(conn *net.TCPConn, data []byte) error {
	if _, err := conn.Write(data); err != nil {
		return err
	}
	return conn.CloseWrite()
}

func receive(conn *net.TCPConn, want []byte) error {
	got, err := io.ReadAll(conn)
	if err == nil && sha256.Sum256(got) != sha256.Sum256(want) {
		err = fmt.Errorf("%d bytes came, not the %d that were sent", len(got), len(want))
	}
	return err
}

// halfClose: after one side has ended, the other still gets its data through.
func halfClose(t *testing.T, first, second *net.TCPConn) {
	t.Helper()
	if err := send(first, []byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := receive(second, []byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := send(second, []byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := receive(first, []byte("answer")); err != nil {
		t.Fatal(err)
	}
}

func resetPasses(t *testing.T, from, to *net.TCPConn) {
	t.Helper()
	if _, err := from.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = from.SetLinger(0)
	from.Close()
	if _, err := to.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the reset came as %v", err)
	}
}

func expectEOF(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("read %d, %v, want the end of data", n, err)
	}
}

// writeUntilReset polls: a socket that has seen the peer's end learns of a reset by its writes alone.
func writeUntilReset(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	eventually(t, "reset at the other side", func() error {
		if _, err := conn.Write([]byte("x")); err == nil {
			return errors.New("the connection still takes data")
		}
		return nil
	})
}

// evidence is what the e2e tests look at as well: a request that passed both sidecars is counted by both.
func (m *mesh) evidence(t *testing.T) {
	source := map[string]string{"reporter": "source", "destination_service_name": "PassthroughCluster", "source_workload": "unit", "source_workload_namespace": "test"}
	destination := map[string]string{"reporter": "destination", "destination_service_name": "InboundPassthroughCluster", "destination_workload": "unit", "connection_security_policy": "none"}
	sent := m.client.metric("istio_tcp_connections_opened_total", source)
	received := m.server.metric("istio_tcp_connections_opened_total", destination)
	if sent == 0 || sent != received {
		t.Errorf("the client's sidecar opened %v connections, the server's %v", sent, received)
	}
	if out, in := m.client.metric("istio_tcp_received_bytes_total", source), m.server.metric("istio_tcp_received_bytes_total", destination); out < 10<<20 || in < 10<<20 {
		t.Errorf("request bytes: %v and %v", out, in)
	}
	m.client.eventually("access log of the client's sidecar", func() error {
		return hasLine(m.client.stdout.String(), `"10.77.0.1:8080" PassthroughCluster 10.77.0.2:`)
	})
	m.server.eventually("access log of the server's sidecar", func() error {
		return hasLine(m.server.stdout.String(), `"10.77.0.1:8080" InboundPassthroughCluster 127.0.0.6:`)
	})
}

func hasLine(log, part string) error {
	for line := range strings.Lines(log) {
		if strings.Contains(line, part) {
			return nil
		}
	}
	return fmt.Errorf("no line contains %q", part)
}

func (m *mesh) nothingLeft(t *testing.T) {
	for name, s := range map[string]*sidecar{"client": m.client, "server": m.server} {
		s.eventually(name, func() error {
			if n := s.metric("envoy_server_total_connections", nil); n != 0 {
				return fmt.Errorf("%v connections are open", n)
			}
			return nil
		})
	}
}

// TestNoWayIn: the sidecar's own ports can't be reached through the sidecar, nor the operations API from another pod.
func TestNoWayIn(t *testing.T) {
	m := newMesh(t)
	t.Run("loop guard", func(t *testing.T) {
		conn := dialIn(t, m.client.ns, netip.MustParseAddrPort("127.0.0.1:15001"))
		_ = conn.SetDeadline(time.Now().Add(patience))
		expectEOF(t, conn)
		if n := m.client.metric("envoy_cluster_upstream_cx_none_healthy", map[string]string{"cluster_name": "BlackHoleCluster"}); n == 0 {
			t.Error("the black hole counted nothing")
		}
	})
	t.Run("own port of the pod from outside", func(t *testing.T) {
		conn := dialIn(t, m.client.ns, netip.AddrPortFrom(netip.MustParseAddr(nstest.PeerV4), 15000))
		_ = conn.SetDeadline(time.Now().Add(patience))
		expectEOF(t, conn)
		if n := m.server.metric("envoy_pillion_self_dial_refused", nil); n != 1 {
			t.Errorf("%v dials to ourselves were refused, want 1", n)
		}
	})
	t.Run("quit from another pod", func(t *testing.T) {
		for _, path := range []string{"/quitquitquit", "/drain", "/version"} {
			m.refusedFromPeer(t, path)
		}
		if err := m.server.ready(); err != nil {
			t.Errorf("the server's sidecar isn't ready any more: %v", err)
		}
	})
	t.Run("metrics from another pod", func(t *testing.T) {
		code, _, err := m.client.get(fmt.Sprintf("http://%s:15020/metrics", nstest.PeerV4))
		if err != nil || code != http.StatusOK {
			t.Errorf("%d, %v", code, err)
		}
	})
}

func (m *mesh) refusedFromPeer(t *testing.T, path string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+nstest.PeerV4+":15020"+path, bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	if path == "/version" {
		req.Method = http.MethodGet
	}
	req.Host = "localhost"
	resp, err := m.client.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("%s: status %d, want 403", path, resp.StatusCode)
	}
}
