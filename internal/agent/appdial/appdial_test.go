package appdial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// addresses are the pod's in these tests.
func addresses() ([]net.Addr, error) {
	return []net.Addr{
		&net.IPNet{IP: net.ParseIP("127.0.0.1"), Mask: net.CIDRMask(8, 32)},
		&net.IPNet{IP: net.ParseIP("10.0.0.7"), Mask: net.CIDRMask(24, 32)},
		&net.IPNet{IP: net.ParseIP("fd00::7"), Mask: net.CIDRMask(64, 128)},
		&net.UnixAddr{},
	}, nil
}

func TestHost(t *testing.T) {
	d := &Dialer{Pod: netip.MustParseAddr("10.0.0.7")}
	for host, want := range map[string]string{
		"": "10.0.0.7", "localhost": "10.0.0.7", "127.0.0.1": "10.0.0.7", "127.8.8.8": "10.0.0.7", "::1": "10.0.0.7", "::ffff:127.0.0.1": "10.0.0.7",
		"0.0.0.0": "10.0.0.7", "::": "10.0.0.7", "10.0.0.7": "10.0.0.7", "fd00::7": "fd00::7", "10.0.0.8": "10.0.0.8", "db.example": "db.example",
	} {
		if got := d.Host(host); got != want {
			t.Errorf("%q: %s, want %s", host, got, want)
		}
	}
}

func TestIsLocal(t *testing.T) {
	d := &Dialer{Pod: netip.MustParseAddr("10.9.9.9"), LocalAddrs: addresses}
	for addr, want := range map[string]bool{
		"127.0.0.1": true, "127.5.5.5": true, "::1": true, "0.0.0.0": true, "::": true, "10.0.0.7": true, "::ffff:10.0.0.7": true, "fd00::7": true,
		"10.9.9.9": true, "10.0.0.8": false, "fd00::8": false, "169.254.169.254": false, "fe80::1%eth0": false,
	} {
		if got, err := d.isLocal(netip.MustParseAddr(addr)); err != nil || got != want {
			t.Errorf("%s is local: %v, %v; want %v", addr, got, err, want)
		}
	}
}

// TestOwnPortsAreRefused before anything is sent.
func TestOwnPortsAreRefused(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	d := &Dialer{Pod: at.Addr(), OwnPorts: []uint16{at.Port()}, LocalAddrs: addresses}
	for _, network := range []string{"tcp", "tcp4"} {
		if conn, err := d.DialContext(t.Context(), network, at.String()); !errors.Is(err, ErrOwnPort) {
			t.Errorf("%s: connection %v, error %v", network, conn, err)
		}
	}
}

// TestUnknownAddresses: whom it can't tell apart it doesn't call.
func TestUnknownAddresses(t *testing.T) {
	d := &Dialer{LocalAddrs: func() ([]net.Addr, error) { return nil, errors.New("no netlink") }}
	err := d.control(context.Background(), "tcp4", "192.0.2.1:80", nil)
	if err == nil || !strings.Contains(err.Error(), "no netlink") {
		t.Errorf("error %v", err)
	}
}

// TestSource: what is local is called from the sidecar's address, and a machine without the one of IPv6 is no obstacle.
func TestSource(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		d := &Dialer{Pod: netip.MustParseAddr("127.0.0.1"), LocalAddrs: addresses}
		conn, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		got := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().String()
		if got != "127.0.0.6" && address == "127.0.0.1:0" || got != "::6" && got != "::1" && address == "[::1]:0" {
			t.Errorf("%s is called from %s", address, got)
		}
		conn.Close()
		l.Close()
	}
}
