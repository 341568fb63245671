package sidecar

import (
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// TestThroughATransparentSidecar is the whole way with TPROXY at its end: the application sees who calls it.
func TestThroughATransparentSidecar(t *testing.T) {
	m := newTransparentMesh(t)
	for _, family := range []struct{ name, address, client string }{
		{"IPv4", nstest.PeerV4, nstest.PodV4},
		{"IPv6", nstest.PeerV6, nstest.PodV6},
	} {
		t.Run(family.name, func(t *testing.T) {
			before := m.server.metric("envoy_pillion_spliced_bytes_total", nil)
			_, server := m.connect(t, family.address)
			got := server.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
			if got != netip.MustParseAddr(family.client) {
				t.Errorf("the application sees %v, want its client's address %v", got, family.client)
			}
			m.bytesAreEqual(t, family.address)
			if m.server.metric("envoy_pillion_spliced_bytes_total", nil) == before {
				t.Error("the bytes didn't go through the sidecar")
			}
			client, server := m.connect(t, family.address)
			halfClose(t, client, server)
			client, server = m.connect(t, family.address)
			resetPasses(t, server, client)
		})
	}
	m.server.eventually("access log of the server's sidecar", func() error {
		return hasLine(m.server.stdout.String(), `"10.77.0.1:8080" InboundPassthroughCluster 10.77.0.2:`)
	})
	t.Run("nothing is left open", m.nothingLeft)
}

// TestTransparentWithoutTheRight says what is missing, and doesn't start half a sidecar.
func TestTransparentWithoutTheRight(t *testing.T) {
	ns := nstest.New(t)
	var out output
	cmd := exec.Command("/proc/self/exe", "agent", "--run-dir="+runDir(t))
	cmd.Env = []string{asSidecar + "=1", quickExit, "POD_NAMESPACE=test", "ISTIO_META_INTERCEPTION_MODE=TPROXY"}
	cmd.Stderr = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: istio.ProxyUID, Gid: istio.ProxyUID}}
	ns.Must(t, cmd.Start)
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "interception mode TPROXY wants the capability NET_ADMIN") {
		t.Errorf("ends with %v and says %s", err, &out)
	}
}
