package sidecar

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

// TestKilledProxy: while no proxy runs, connections wait in the accept queue, and the next proxy takes them.
func TestKilledProxy(t *testing.T) {
	m := newMesh(t)
	first := m.server.proxyPID()
	client, server := m.connect(t, nstest.PeerV4)
	if err := syscall.Kill(m.server.cmd.Process.Pid, syscall.SIGSTOP); err != nil { // no restart yet
		t.Fatal(err)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	expectClosed(t, client)
	expectClosed(t, server)
	waiting := make([]*net.TCPConn, 8)
	for i := range waiting {
		waiting[i] = dialIn(t, m.client.ns, netip.AddrPortFrom(netip.MustParseAddr(nstest.PeerV4), appPort))
		if _, err := waiting[i].Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	m.server.signal(syscall.SIGCONT)
	for range waiting {
		conn := <-m.accepted
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
			t.Errorf("a connection that waited was lost: %v", err)
		}
		conn.Close()
	}
	m.server.eventually("a new epoch", func() error {
		if now := m.server.proxyPID(); now == 0 || now == first {
			return fmt.Errorf("the proxy's pid is %d", now)
		}
		return m.server.ready()
	})
	if n := m.server.metric("envoy_server_hot_restart_epoch", nil); n != 1 {
		t.Errorf("epoch %v serves, want 1", n)
	}
}

func expectClosed(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection of the killed proxy lives: %v", err)
	}
}

// TestAgentDies: without its agent a proxy is nobody's, and ends with exit code 70.
func TestAgentDies(t *testing.T) {
	s := startSidecar(t, nstest.NewPod(t).Namespace)
	proxy := s.proxyPID()
	s.signal(syscall.SIGKILL)
	s.wait()
	s.eventually("the proxy's end", func() error {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", proxy))
		if err != nil || strings.Contains(string(state), ") Z ") {
			return nil //nolint:nilerr // its folder is gone, and so is it
		}
		return errors.New("it still runs")
	})
}

// TestTermination is the table of the ways out: whatever the connections do, the agent leaves within the grace period.
func TestTermination(t *testing.T) {
	const grace = 5 // seconds; three are kept for ending, so draining may take two
	for _, c := range []struct {
		name    string
		connect func(t *testing.T, m *mesh)
	}{
		{"no connection", func(*testing.T, *mesh) {}},
		{"active", activeConnection},
		{"idle", func(t *testing.T, m *mesh) { m.connect(t, nstest.PeerV4) }},
		{"stuck", stuckConnection},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMeshWith(t, fmt.Sprintf("PILLION_TERMINATION_GRACE=%d", grace), "MINIMUM_DRAIN_DURATION=100ms")
			c.connect(t, m)
			began := time.Now()
			m.server.signal(syscall.SIGTERM)
			if code := m.server.wait(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if took := time.Since(began); took >= grace*time.Second {
				t.Errorf("leaving took %v, the kubelet would have killed after %d s", took, grace)
			}
		})
	}
}

func activeConnection(t *testing.T, m *mesh) {
	client, server := m.connect(t, nstest.PeerV4)
	go func() { _, _ = io.Copy(io.Discard, server) }()
	go func() {
		for {
			if _, err := client.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}()
}

// stuckConnection is one whose reader has stopped reading: every buffer on the way is full.
func stuckConnection(t *testing.T, m *mesh) {
	client, _ := m.connect(t, nstest.PeerV4)
	_ = client.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	for {
		if _, err := client.Write(make([]byte, 1<<20)); err != nil {
			return
		}
	}
}

// TestDrainLetsGo: SIGTERM waits for an open connection, still takes new ones, and leaves when the last has ended.
func TestDrainLetsGo(t *testing.T) {
	m := newMeshWith(t, "PILLION_TERMINATION_GRACE=60s", "MINIMUM_DRAIN_DURATION=0s")
	client, server := m.connect(t, nstest.PeerV4)
	m.server.signal(syscall.SIGTERM)
	m.server.eventually("not ready while draining", func() error {
		code, _, err := m.server.get("http://127.0.0.1:15021/healthz/ready")
		if err == nil && code != 503 {
			err = fmt.Errorf("status %d", code)
		}
		return err
	})
	later, laterServer := m.connect(t, nstest.PeerV4)
	halfClose(t, later, laterServer)
	halfClose(t, client, server)
	if code := m.server.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestSecondSignal: whoever asks twice doesn't want to wait.
func TestSecondSignal(t *testing.T) {
	m := newMeshWith(t, "PILLION_TERMINATION_GRACE=600s")
	m.connect(t, nstest.PeerV4)
	m.server.signal(syscall.SIGTERM)
	m.server.eventually("draining", func() error {
		if m.server.ready() == nil {
			return errors.New("still ready")
		}
		return nil
	})
	m.server.signal(syscall.SIGTERM)
	m.server.wait()
}

// TestQuit: who may end the sidecar, over the socket and over TCP.
func TestQuit(t *testing.T) {
	t.Run("others over the socket", func(t *testing.T) {
		s := startSidecar(t, nstest.NewPod(t).Namespace)
		if code, out := s.request(1000, "--debug-port=15020", "POST", "quitquitquit"); code == 0 {
			t.Errorf("UID 1000 may: %s", out)
		}
		if code, out := s.request(0, "--debug-port=15020", "POST", "quitquitquit"); code != 0 {
			t.Errorf("root may not: %s", out)
		}
		if code := s.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("root over TCP", func(t *testing.T) {
		s := startSidecar(t, nstest.NewPod(t).Namespace)
		if code := s.post("/quitquitquit"); code != 403 {
			t.Errorf("status %d, want 403", code)
		}
		if err := s.ready(); err != nil {
			t.Error(err)
		}
	})
	t.Run("the application if it may", func(t *testing.T) {
		s := startSidecar(t, nstest.NewPod(t).Namespace, "PILLION_QUIT_FROM_APP=true")
		if code := s.post("/quitquitquit"); code != 200 {
			t.Errorf("status %d, want 200", code)
		}
		if code := s.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

func (s *sidecar) post(path string) int {
	s.t.Helper()
	resp, err := s.client().Post("http://127.0.0.1:15020"+path, "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
