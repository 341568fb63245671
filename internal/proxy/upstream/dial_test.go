package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func localAddrs() ([]net.Addr, error) {
	return []net.Addr{
		&net.IPNet{IP: net.ParseIP("10.0.0.1"), Mask: net.CIDRMask(24, 32)},
		&net.IPNet{IP: net.ParseIP("fd00::1"), Mask: net.CIDRMask(64, 128)},
	}, nil
}

func TestSelfDial(t *testing.T) {
	d := NewDialer(OwnPorts[:], localAddrs)
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

func TestSelfUnknownIsRefused(t *testing.T) {
	failure := errors.New("no netlink")
	d := NewDialer(OwnPorts[:], func() ([]net.Addr, error) { return nil, failure })
	_, err := d.Dial(t.Context(), &config.Cluster{ConnectTimeout: time.Second}, netip.MustParseAddrPort("10.0.0.2:15020"), netip.AddrPort{})
	if !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	d := NewDialer(OwnPorts[:], localAddrs)
	if _, err := d.Dial(t.Context(), &config.Cluster{Kind: config.StaticHosts}, netip.MustParseAddrPort("127.0.0.1:1"), netip.AddrPort{}); !errors.Is(err, ErrNoHost) {
		t.Errorf("no hosts: %v", err)
	}
	if _, err := d.Dial(t.Context(), &config.Cluster{}, netip.MustParseAddrPort("127.0.0.1:15001"), netip.AddrPort{}); !errors.Is(err, ErrSelfDial) {
		t.Errorf("self: %v", err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = d.Dial(t.Context(), &config.Cluster{ConnectTimeout: -1}, netip.MustParseAddrPort(l.Addr().String()), netip.AddrPort{})
	if !errors.Is(err, context.DeadlineExceeded) {
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("timeout: %v", err)
		}
	}
}

// TestSource: the upstream sees the address the cluster dials from.
func TestSource(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	runtime := config.Static(config.Settings{})
	conn, err := NewDialer(OwnPorts[:], localAddrs).Dial(t.Context(), runtime.Cluster(config.InboundPassthroughCluster), netip.MustParseAddrPort(l.Addr().String()), netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.LocalAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.6" {
		t.Errorf("dialled from %s", got)
	}
}
