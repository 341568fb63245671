package upstream

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

func localAddrs() ([]net.Addr, error) {
	return []net.Addr{
		&net.IPNet{IP: net.ParseIP("10.0.0.1"), Mask: net.CIDRMask(24, 32)},
		&net.IPNet{IP: net.ParseIP("fd00::1"), Mask: net.CIDRMask(64, 128)},
	}, nil
}

func TestSelfDial(t *testing.T) {
	d := newDialer(OwnPorts[:], localAddrs)
	for address, want := range map[string]bool{
		"127.0.0.1:15020": true, "127.8.8.8:15000": true, "[::1]:15001": true, "0.0.0.0:15090": true, "[::]:15021": true,
		"10.0.0.1:15006": true, "[fd00::1]:15053": true, "[fd00::1%eth0]:15053": true, "[::ffff:10.0.0.1]:15020": true, "[::ffff:127.0.0.1]:15020": true,
		"10.0.0.2:15020": false, "10.0.0.1:8080": false, "127.0.0.1:80": false, "[fd00::2]:15020": false,
	} {
		if got, err := d.isSelf(netip.MustParseAddrPort(address)); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", address, got, err, want)
		}
	}
}

// dialOriginal dials an original destination through cfg.
func dialOriginal(t *testing.T, o Options, cfg *config.Cluster, to string) (*Conn, error) {
	t.Helper()
	o.Tick = -1
	m := NewManager(o)
	t.Cleanup(m.Close)
	m.Apply(config.NewRuntime(nil, []*config.Cluster{cfg}))
	c := m.Cluster(cfg.Name)
	host, err := c.Pick(&Choice{OriginalDst: netip.MustParseAddrPort(to)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Dial(t.Context(), host, DialOptions{})
}

func TestSelfUnknownIsRefused(t *testing.T) {
	failure := errors.New("no netlink")
	o := Options{LocalAddrs: func() ([]net.Addr, error) { return nil, failure }}
	if _, err := dialOriginal(t, o, config.Static(config.Settings{}).Cluster(config.PassthroughCluster), "10.0.0.2:15020"); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
}

func TestSelfDialIsRefused(t *testing.T) {
	for _, name := range []string{config.PassthroughCluster, config.InboundPassthroughCluster} {
		_, err := dialOriginal(t, Options{LocalAddrs: localAddrs}, config.Static(config.Settings{}).Cluster(name), "10.0.0.1:15001")
		if !errors.Is(err, ErrSelfDial) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSource: the upstream sees the address the cluster dials from.
func TestSource(t *testing.T) {
	l := echo(t, "tcp4", sockettest.Any())
	conn, err := dialOriginal(t, Options{LocalAddrs: localAddrs}, config.Static(config.Settings{}).Cluster(config.InboundPassthroughCluster), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.LocalAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.6" {
		t.Errorf("dialled from %s", got)
	}
}

// TestPortsAreSharedBetweenDestinations: the kernel may give a source port to several connections if they
// go elsewhere. Those without a source have no port at all before they connect.
func TestPortsAreSharedBetweenDestinations(t *testing.T) {
	for network, at := range map[string]string{"tcp4": sockettest.Any(), "tcp6": "[::1]:0"} {
		l := echo(t, network, at)
		conn, err := dialOriginal(t, Options{LocalAddrs: localAddrs}, config.Static(config.Settings{}).Cluster(config.InboundPassthroughCluster), l.Addr().String())
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			continue // ::6 is an address only where capture has made it one
		}
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		if left := option(t, conn.Conn, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT); left != 1 {
			t.Errorf("%s: the port was chosen before the destination", network)
		}
		conn.Close()
	}
}
