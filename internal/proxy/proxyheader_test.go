package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

// introduced answers each HTTP connection with the header it began with, and how many requests it has seen.
func introduced(t *testing.T) net.Addr {
	t.Helper()
	l := sockettest.Listen(t)
	var work sync.WaitGroup
	t.Cleanup(work.Wait)
	t.Cleanup(func() { l.Close() })
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { answerIntroduced(conn) })
		}
	})
	return l.Addr()
}

func answerIntroduced(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	header, err := r.ReadString('\n')
	for n := 1; err == nil; n++ {
		var req *http.Request
		if req, err = http.ReadRequest(r); err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
			_, err = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Header: %s\r\nX-Nth: %d\r\n\r\n", strings.TrimSpace(header), n)
		}
	}
}

// TestIntroductions: hosts are told whom each connection is for, which no other client's requests then come over. The
// bytes of TCP come behind the same header.
func TestIntroductions(t *testing.T) {
	at := introduced(t).(*net.TCPAddr)
	chain := map[string]string{
		"http": `{"name": "hcm", "typed_config": {"@type": "` + hcm + `", "stat_prefix": "in", "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "c"}}]}]},
			"http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}`,
		"tcp": `{"name": "tcp", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "t", "cluster": "c"}}`,
	}
	for name, filter := range chain {
		t.Run(name, func(t *testing.T) {
			b, err := xds.Bootstrap(fmt.Appendf(nil, `{"node": {"id": "n"}, "static_resources": {
				"listeners": [{"name": "virtualInbound", "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15006}}, "filter_chains": [{"filters": [%s]}]}],
				"clusters": [{"name": "c", "connect_timeout": "20s", "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": %q, "port_value": %d}}}}]}]},
					"transport_socket": {"name": "p", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
						"transport_socket": {"name": "raw", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}}}}]}}`, filter, at.IP, at.Port))
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, func(o *Options) { o.Bootstrap = b })
			r.sendTo("127.0.0.1:80")
			<-r.Warm()
			for range 2 {
				c := dial(t, r.inbound)
				defer c.Close()
				answers := bufio.NewReader(c)
				for nth := 1; nth <= 2; nth++ {
					if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
						t.Fatal(err)
					}
					rsp, err := http.ReadResponse(answers, nil)
					if err != nil {
						t.Fatal(err)
					}
					rsp.Body.Close()
					own := c.LocalAddr().(*net.TCPAddr)
					want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d 80 nr. %d", own.Port, nth)
					if got := rsp.Header.Get("X-Header") + " nr. " + rsp.Header.Get("X-Nth"); got != want {
						t.Errorf("the host was told %q, want %q", got, want)
					}
				}
			}
		})
	}
}
