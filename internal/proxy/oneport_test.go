package proxy

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/listener"
)

// TestOnePort: where one socket takes both ways, what was going to this machine is inbound.
func TestOnePort(t *testing.T) {
	for one, want := range map[bool]string{true: config.InboundPassthroughCluster, false: config.PassthroughCluster} {
		r := newRig(t, func(o *Options) { o.OnePort = one })
		r.sendTo(backend(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) }))
		c := dial(t, r.outbound)
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err := io.WriteString(c, "hello")
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 5))
		}
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		if n := r.store.Cluster(want).CxTotal.Load(); n != 1 {
			t.Errorf("one port %v: %d connections of %s", one, n, want)
		}
	}
}

// TestProof: a probe of capture is read, told of and closed; it goes nowhere.
func TestProof(t *testing.T) {
	type proof struct {
		nonce [listener.ProofBytes]byte
		dst   netip.AddrPort
	}
	proofs := make(chan proof, 1)
	r := newRig(t, func(o *Options) {
		o.Proof = func(nonce [listener.ProofBytes]byte, dst netip.AddrPort) { proofs <- proof{nonce, dst} }
	})
	r.sendTo("10.0.0.1:15002")
	c := dial(t, r.inbound)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	nonce := bytes.Repeat([]byte{7}, listener.ProofBytes)
	if _, err := c.Write(nonce); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // exactly that
		t.Errorf("the probe wasn't closed: %v", err)
	}
	if p := <-proofs; !bytes.Equal(p.nonce[:], nonce) || p.dst != netip.MustParseAddrPort("10.0.0.1:15002") {
		t.Errorf("%+v", p)
	}
}
