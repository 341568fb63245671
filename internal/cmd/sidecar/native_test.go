package sidecar

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// A native sidecar's preStop hook runs when the pod is deleted, beside those of the application; its SIGTERM comes when
// the application has gone. Where the application has gone before, as in a Job that completed, both come at once.

// newNative is a mesh whose server is left by SIGTERM without drain only after these tests have lost their patience.
func newNative(t *testing.T) *mesh {
	return newMeshWith(t, "PILLION_TERMINATION_GRACE=3600", "MINIMUM_DRAIN_DURATION=3600s")
}

// preStop runs the hook as the injector writes it.
func (s *sidecar) preStop() {
	s.t.Helper()
	if code, out := s.subcommand(istio.ProxyUID, "drain"); code != 0 || out != "OK" {
		s.t.Fatalf("drain: exit %d, %q", code, out)
	}
	if code, _, _ := s.get("http://127.0.0.1:15020/healthz/ready"); code != 503 {
		s.t.Errorf("after drain readiness is %d", code)
	}
}

// terminate sends SIGTERM and waits for the end, which the log shows the time of.
func (s *sidecar) terminate() {
	s.t.Helper()
	began := time.Now()
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != 0 {
		s.t.Errorf("exit code %d", code)
	}
	s.t.Logf("left after %v", time.Since(began))
}

// TestNativeDeleted: the pod is deleted, the application finishes what it does and ends, the sidecar follows.
func TestNativeDeleted(t *testing.T) {
	m := newNative(t)
	client, server := m.connect(t, nstest.PeerV4)
	m.server.preStop()
	halfClose(t, client, server)
	later, laterServer := m.connect(t, nstest.PeerV4)
	halfClose(t, later, laterServer)
	m.server.terminate()
}

// TestNativeCompleted: the application ended first, and nothing is waited for.
func TestNativeCompleted(t *testing.T) {
	m := newNative(t)
	client, server := m.connect(t, nstest.PeerV4)
	halfClose(t, client, server)
	m.server.preStop()
	m.server.terminate()
}

// TestNativeGoesOn: a drained sidecar serves as long as it isn't told to end, also in the place of one that died.
func TestNativeGoesOn(t *testing.T) {
	m := newNative(t)
	m.server.preStop()
	m.server.preStop() // a hook may run again
	for _, address := range []string{nstest.PeerV4, nstest.PeerV6} {
		client, server := m.connect(t, address)
		halfClose(t, client, server)
	}
	out := dialIn(t, m.server.ns, m.listenAsPeer(t))
	peer := <-m.accepted
	defer peer.Close()
	halfClose(t, out, peer)
	first := m.server.proxyPID()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.server.eventually("a new proxy", func() error {
		if now := m.server.proxyPID(); now == 0 || now == first {
			return fmt.Errorf("the proxy's pid is %d", now)
		}
		return nil
	})
	client, server := m.connect(t, nstest.PeerV4)
	halfClose(t, client, server)
	if m.server.ready() == nil {
		t.Error("the new proxy made the sidecar ready again")
	}
	m.server.terminate()
}

// listenAsPeer makes an application in the client's pod too.
func (m *mesh) listenAsPeer(t *testing.T) netip.AddrPort {
	m.serve(t, m.client.ns, "tcp4")
	return netip.AddrPortFrom(netip.MustParseAddr(nstest.PodV4), appPort)
}

// TestNativeLastBytes: what the application wrote before it ended still arrives.
func TestNativeLastBytes(t *testing.T) {
	m := newNative(t)
	client, server := m.connect(t, nstest.PeerV4)
	m.server.preStop()
	last := randomBytes(3, 1<<20)
	received := make(chan error, 1)
	go func() { received <- receive(client, last) }()
	if _, err := server.Write(last); err != nil {
		t.Fatal(err)
	}
	server.Close()
	m.server.terminate()
	if err := <-received; err != nil {
		t.Error(err)
	}
}

// TestNativeCutsOff: what is still open when the application has gone is not waited for, nor is a visitor who says
// nothing. The connection that was cut off is in the log.
func TestNativeCutsOff(t *testing.T) {
	m := newNative(t)
	client, _ := m.connect(t, nstest.PeerV4)
	for _, port := range []uint16{15020, 15021, 15090} {
		dialIn(t, m.server.ns, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	}
	m.server.preStop()
	m.server.terminate()
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client's end: %v", err)
	}
	if err := hasLine(m.server.stdout.String(), " LR - sidecar_shutdown "); err != nil {
		t.Error(err)
	}
}
