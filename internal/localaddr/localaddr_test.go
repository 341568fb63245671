package localaddr

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestIs(t *testing.T) {
	interfaces := func() ([]net.Addr, error) {
		return []net.Addr{
			&net.IPNet{IP: net.ParseIP("10.1.2.3"), Mask: net.CIDRMask(24, 32)},
			&net.IPNet{IP: net.ParseIP("fe80::1"), Mask: net.CIDRMask(64, 128)},
			&net.UnixAddr{Name: "/not/an/address"},
		}, nil
	}
	for addr, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "0.0.0.0": true, "::": true,
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "fe80::1%eth0": true,
		"10.1.2.4": false, "fe80::2": false, "192.0.2.1": false,
	} {
		got, err := Is(netip.MustParseAddr(addr), interfaces)
		if got != want || err != nil {
			t.Errorf("%s: %t, %v; want %t", addr, got, err, want)
		}
	}
}

func TestUnknownInterfaces(t *testing.T) {
	broken := errors.New("no netlink")
	fail := func() ([]net.Addr, error) { return nil, broken }
	if local, err := Is(netip.MustParseAddr("127.0.0.1"), fail); !local || err != nil {
		t.Errorf("loopback: %t, %v", local, err)
	}
	if _, err := Is(netip.MustParseAddr("192.0.2.1"), fail); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
