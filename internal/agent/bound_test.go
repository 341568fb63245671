package agent

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/agent/control"
)

// TestBound: a socket asked for twice is the same, there is a limit, and one that is released is closed.
func TestBound(t *testing.T) {
	var b bound
	defer b.close()
	other, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := b.open(netip.MustParseAddrPort(other.Addr().String()), 2); err == nil {
		t.Fatal("the address is taken")
	}
	first := netip.MustParseAddrPort("127.0.0.1:0") // whichever port is free
	fd, err := b.open(first, 2)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.open(first, 1); err != nil || again != fd {
		t.Errorf("%d, %v; want %d", again, err, fd)
	}
	if _, err := b.open(netip.MustParseAddrPort("127.0.0.2:0"), 1); err == nil {
		t.Error("there is no limit")
	}
	if names, fds := b.all(); len(names) != 1 || names[0] != control.BindName(first) || fds[0] != fd {
		t.Errorf("%v %v", names, fds)
	}
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens != 1 {
		t.Errorf("listens: %d, %v", listens, err)
	}
	b.release(first)
	b.release(first)
	if names, _ := b.all(); len(names) != 0 {
		t.Errorf("%v", names)
	}
}

func TestProfile(t *testing.T) {
	for profile, same := range map[string]bool{"": false, "istio": false, "tsf": true} {
		s, _, err := Load(nil, []string{"PILLION_PROFILE=" + profile}, nil)
		if err != nil || (s.InboundPort == s.OutboundPort) != same {
			t.Errorf("%q: ports %d and %d, %v", profile, s.OutboundPort, s.InboundPort, err)
		}
	}
	if _, _, err := Load(nil, []string{"PILLION_PROFILE=linkerd"}, nil); err == nil {
		t.Error("a profile nobody knows is taken")
	}
}
