package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/admin"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

const drainBootstrap = `{"node": {"id": "sidecar~1", "cluster": "c"}, "static_resources": {"listeners": [
  {"name": "in", "traffic_direction": "INBOUND", "address": {"socket_address": {"address": "192.0.2.1", "port_value": 1}}, "filter_chains": [%[1]s]},
  {"name": "out", "traffic_direction": "OUTBOUND", "address": {"socket_address": {"address": "192.0.2.1", "port_value": 2}}, "filter_chains": [%[1]s]}]}}`

const drainChain = `{"filters": [{"name": "tcp", "typed_config": {
  "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "own", "cluster": "none"}}]}`

// TestDrainListeners: graceful draining closes sockets when it is over, and none if they are to stay; without it they are
// closed at once. Sockets are closed of the directions asked for, and stay closed.
func TestDrainListeners(t *testing.T) {
	b, err := xds.Bootstrap(fmt.Appendf(nil, drainBootstrap, drainChain))
	if err != nil {
		t.Fatal(err)
	}
	opened, closed := make(chan [2]string, 4), make(chan uint16, 4)
	r := newRig(t, func(o *Options) {
		o.Bootstrap = b
		o.Listen = func(_ context.Context, address netip.AddrPort) (net.Listener, error) {
			l := listen(t)
			opened <- [2]string{fmt.Sprint(address.Port()), l.Addr().String()}
			return l, nil
		}
		o.Release = func(address netip.AddrPort) { closed <- address.Port() }
	})
	at := map[string]string{}
	for range 2 {
		one := <-opened
		at[one[0]] = one[1]
	}
	in, out := at["1"], at["2"]
	r.drainListeners(admin.Drain{Graceful: true, SkipExit: true})
	accepts(t, in)
	accepts(t, out)
	r.drainListeners(admin.Drain{Graceful: true, InboundOnly: true})
	if port := <-closed; port != 1 {
		t.Errorf("listener %d was closed, want that for inbound connections", port)
	}
	accepts(t, out)
	r.drainListeners(admin.Drain{})
	if port := <-closed; port != 2 {
		t.Errorf("listener %d was closed, want the other one", port)
	}
	r.bound.follow(r.source.Runtime().Load())
	if len(opened)+len(closed) > 0 {
		t.Error("a socket was opened again")
	}
	if !r.Draining() {
		t.Error("it isn't draining")
	}
}

func accepts(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
