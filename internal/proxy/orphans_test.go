package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

// TestRemovedChains: when the drain time is over, connections of a chain that is gone are closed, of HTTP also those with a
// request that doesn't end, or none. Those of a chain that was only changed go on.
func TestRemovedChains(t *testing.T) {
	silent := backend(t, func(c *net.TCPConn) { echo(c) }) // no answer of HTTP's to requests
	dir := t.TempDir()
	const n = "type.googleapis.com/envoy.extensions.filters.network."
	tcpOf := func(name string, port int, prefix string) string {
		return fmt.Sprintf(`{"name": %q, "filter_chain_match": {"destination_port": %d}, "filters": [{"name": "tcp", "typed_config": {"@type": "%stcp_proxy.v3.TcpProxy", "stat_prefix": %q, "cluster": "silent"}}]}`, name, port, n, prefix)
	}
	httpOf := func(name string, port int, prefix string) string {
		return fmt.Sprintf(`{"name": %q, "filter_chain_match": {"destination_port": %d}, "filters": [{"name": "hcm", "typed_config": {"@type": %q, "stat_prefix": %q,
			"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"path": "/direct"}, "direct_response": {"status": 200}}, {"match": {"prefix": "/"}, "route": {"cluster": "silent", "timeout": "0s"}}]}]},
			"http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}`, name, port, hcm, prefix)
	}
	write := func(chains ...string) {
		text := `{"resources": [{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "virtualInbound",
			"address": {"socket_address": {"address": "0.0.0.0", "port_value": 15006}}, "filter_chains": [` + strings.Join(chains, ", ") + `]}]}`
		aside := filepath.Join(t.TempDir(), "lds.json")
		if err := errors.Join(os.WriteFile(aside, []byte(text), 0o600), os.Rename(aside, filepath.Join(dir, "lds.json"))); err != nil {
			t.Fatal(err)
		}
	}
	write(tcpOf("bytes", 1, "bytes"), tcpOf("changed bytes", 2, "a"), httpOf("http", 3, "http"), httpOf("changed http", 4, "b"))
	b, err := xds.Bootstrap(fmt.Appendf(nil, `{"node": {"id": "n"}, "static_resources": {"clusters": [%s]}, "dynamic_resources": {"lds_config": {"path": %q}}}`,
		clusterJSON("silent", silent, ""), filepath.Join(dir, "lds.json")))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) { o.Bootstrap = b })
	<-r.Warm()
	open := func(port int, say string, answered bool) *net.TCPConn {
		t.Helper()
		r.sendTo(fmt.Sprintf("192.0.2.1:%d", port))
		c := dial(t, r.inbound)
		t.Cleanup(func() { c.Close() })
		fmt.Fprint(c, say)
		if answered {
			if got, err := bufio.NewReader(c).ReadByte(); err != nil {
				t.Fatalf("port %d: %q, %v", port, got, err)
			}
		}
		return c
	}
	const direct, hanging = "GET /direct HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	goes := map[string]*net.TCPConn{"bytes": open(1, "x", true), "idle": open(3, direct, true), "busy": open(3, direct+hanging, true)}
	stays, changed := open(2, "x", true), open(4, direct, true)
	eventually(t, "the request that doesn't end", func() error {
		if r.store.Cluster("silent").CxTotal.Load() < 3 {
			return errors.New("it isn't there yet")
		}
		return nil
	})
	write(tcpOf("changed bytes", 2, "other"), httpOf("changed http", 4, "other"))
	for what, c := range goes {
		if _, err := discard(c); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s goes on", what)
		}
	}
	if tcp, http := r.store.TCPPrefix("bytes").DrainClose.Load(), r.store.HTTP("http").CxDrainClose.Load(); tcp != 1 || http != 2 {
		t.Errorf("counted %d of TCP, %d of HTTP", tcp, http)
	}
	fmt.Fprint(stays, "y")
	if _, err := stays.Read(make([]byte, 1)); err != nil {
		t.Errorf("a changed chain's connection: %v", err)
	}
	fmt.Fprint(changed, direct)
	if answer, err := http.ReadResponse(bufio.NewReader(changed), nil); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("a changed chain's connection of HTTP: %v", err)
	}
}

// discard reads to the end.
func discard(c *net.TCPConn) (n int, err error) {
	buf := make([]byte, 4096)
	for {
		got, err := c.Read(buf)
		n += got
		if err != nil {
			return n, err
		}
	}
}
