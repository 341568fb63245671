package interop

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

// endsTunnels is a bootstrap whose tunnels end here and go on to host; other requests aren't taken.
func endsTunnels(host string) rig.JSON {
	route := rig.JSON{
		"match": rig.JSON{"connect_matcher": rig.JSON{}},
		"route": rig.JSON{"cluster": "backend", "timeout": "0s", "upgrade_configs": []rig.JSON{{"upgrade_type": "CONNECT", "connect_config": rig.JSON{}}}},
	}
	return rig.Static(rig.Listener(rig.Manager(nil, rig.Routes(route)), nil), rig.Cluster("backend", nil, host))
}

// throughTunnels is a bootstrap that takes any connection through a tunnel of the proxy at address.
func throughTunnels(address string) rig.JSON {
	listener := rig.Listener(rig.Manager(nil, nil), nil)
	listener["filter_chains"] = []rig.JSON{{"filters": []rig.JSON{{"name": "tcp", "typed_config": rig.Typed("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", rig.JSON{
		"stat_prefix": "tunnelled", "cluster": "proxy", "tunneling_config": rig.JSON{"hostname": "backend.test:80"},
	})}}}}
	return rig.Static(listener, rig.Cluster("proxy", nil, address))
}

// TestConnect: bytes go through a tunnel both ways at once, each direction ends by itself, and each proxy counts one
// connection: from a client of CONNECT, and from one that knows nothing of it and whose proxy asks for the tunnel.
func TestConnect(t *testing.T) {
	settled := rig.Settled(t)
	t.Run("client", func(t *testing.T) {
		p := rig.Start(t, endsTunnels(digester(t, 1<<20)))
		c := p.Dial()
		fmt.Fprintf(c, "CONNECT backend.test:80 HTTP/1.1\r\nHost: backend.test:80\r\n\r\n")
		from := bufio.NewReader(c)
		answer, err := http.ReadResponse(from, &http.Request{Method: http.MethodConnect})
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%+v, %v", answer, err)
		}
		digest(t, c, from, p)
	})
	t.Run("proxy", func(t *testing.T) {
		last := rig.Start(t, endsTunnels(digester(t, 1<<20)))
		first := rig.Start(t, throughTunnels(last.Address))
		c := first.Dial()
		digest(t, c, c, first, last)
	})
	settled()
}

// digester says so many bytes at once, reads to the end, and then says the sum of what it has read.
func digester(t *testing.T, size int) string {
	return rig.Scripted(t, func(c *net.TCPConn) {
		said := make(chan struct{})
		go func() {
			defer close(said)
			_, _ = c.Write(bytes.Repeat([]byte{'s'}, size))
		}()
		sum := sha256.New()
		_, _ = io.Copy(sum, c)
		<-said
		fmt.Fprintf(c, "%x", sum.Sum(nil))
	})
}

// digest talks to a digester.
func digest(t *testing.T, c *net.TCPConn, from io.Reader, through ...*rig.Proxy) {
	t.Helper()
	const size = 1 << 20
	head := make([]byte, size)
	if _, err := io.ReadFull(from, head[:1]); err != nil {
		t.Fatal(err)
	}
	for i, p := range through {
		if n := p.Active(); n != 1 {
			t.Errorf("proxy %d carries %d connections", i, n)
		}
	}
	want := bytes.Repeat([]byte{'c'}, 3<<20)
	sent := make(chan error, 1)
	go func() {
		if _, err := c.Write(want); err != nil {
			sent <- err
			return
		}
		sent <- c.CloseWrite()
	}()
	if _, err := io.ReadFull(from, head[1:]); err != nil {
		t.Fatal(err)
	}
	sum, err := io.ReadAll(from)
	if err != nil || string(sum) != fmt.Sprintf("%x", sha256.Sum256(want)) || strings.Trim(string(head), "s") != "" {
		t.Errorf("got %q behind %d bytes, %v", sum, len(head), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
