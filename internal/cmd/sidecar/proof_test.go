package sidecar

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/pillion-mesh/pillion/internal/agent/control"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/proxy/listener"
)

// TestProofOfCapture: nonces that capture's rules brought to the inbound port reach the agent with where they were going,
// of both families; what isn't a whole nonce doesn't.
func TestProofOfCapture(t *testing.T) {
	pod := nstest.NewPod(t)
	applyCapture(t, pod.Namespace)
	how := epochs{sockets: map[string]*os.File{}, start: func(cmd *exec.Cmd) error {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: istio.ProxyUID, Gid: istio.ProxyUID}}
		return pod.Do(cmd.Start)
	}}
	for _, network := range []string{"tcp4", "tcp6"} {
		for _, port := range []string{"15001", "15006"} {
			how.sockets[port+"/"+network] = capturePort(t, pod.Namespace, network, port)
		}
	}
	p := how.begin(t, 0)
	p.accept()
	for i, address := range []string{nstest.PodV4, nstest.PodV6} {
		to := netip.AddrPortFrom(netip.MustParseAddr(address), istio.PortProbe)
		nonce := bytes.Repeat([]byte{byte(i + 1)}, listener.ProofBytes)
		probe(t, pod.Peer, to, nonce[1:])
		probe(t, pod.Peer, to, nonce)
		got := p.expect(control.Beat).Proofs
		if len(got) != 1 || !bytes.Equal(got[0].Nonce, nonce) || got[0].Destination != to {
			t.Errorf("proofs %v, want %v to %v", got, nonce, to)
		}
	}
}

func capturePort(t *testing.T, ns *nstest.Namespace, network, port string) *os.File {
	t.Helper()
	var l net.Listener
	ns.Must(t, func() (err error) { l, err = net.Listen(network, ":"+port); return err })
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// probe says nonce and waits until the connection is closed.
func probe(t *testing.T, ns *nstest.Namespace, to netip.AddrPort, nonce []byte) {
	t.Helper()
	conn := dialIn(t, ns, to)
	if _, err := conn.Write(nonce); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	expectClosed(t, conn)
}
