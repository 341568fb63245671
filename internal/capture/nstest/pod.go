//go:build linux

package nstest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addresses of the pod and its peer. Everything that isn't the pod's is routed to the peer.
const (
	PodV4    = "10.77.0.2"
	PodV6    = "fd77::2"
	PeerV4   = "10.77.0.1"
	PeerV6   = "fd77::1"
	OtherV4  = "10.99.0.1" // the peer's too, of another range
	OtherV6  = "fd99::1"
	SecondV4 = "10.78.0.1" // the peer's, over the second cable
	BeyondV4 = "10.88.0.1" // nobody's; the peer's packets to it go to the pod over the second cable, as a nested machine's
)

// Interfaces of the pod.
const (
	Eth0 = "eth0"
	Eth1 = "eth1"
)

// Pod is a namespace as a pod has it, and the peer it talks to.
type Pod struct {
	*Namespace
	Peer *Namespace
}

// The cables' hardware addresses by end: index 0 is eth0, 1 is eth1.
var (
	podHardware  = [2]net.HardwareAddr{{2, 0x77, 0, 0, 0, 2}, {2, 0x78, 0, 0, 0, 2}}
	peerHardware = [2]net.HardwareAddr{{2, 0x77, 0, 0, 0, 1}, {2, 0x78, 0, 0, 0, 1}}
)

// NewPod makes both, wired and addressed.
func NewPod(t testing.TB) *Pod {
	t.Helper()
	p := &Pod{Namespace: New(t), Peer: New(t)}
	p.Must(t, func() error {
		return errors.Join(p.cable(0, Eth0, "10.77.0.2/24", "fd77::2/64"), p.cable(1, Eth1, "10.78.0.2/24", "fd78::2/64"), up("lo"))
	})
	p.Peer.Must(t, func() error {
		return errors.Join(up("lo"), address(Eth0, "10.77.0.1/24", "fd77::1/64"), address(Eth1, "10.78.0.1/24", "fd78::1/64"),
			address("lo", OtherV4+"/32", OtherV6+"/128"), route("10.88.0.0/24", "10.78.0.2"),
			neighbours(Eth0, podHardware[0], PodV4, PodV6), neighbours(Eth1, podHardware[1], "10.78.0.2", "fd78::2"))
	})
	p.Must(t, func() error {
		return errors.Join(route("0.0.0.0/0", PeerV4), route("::/0", PeerV6),
			neighbours(Eth0, peerHardware[0], PeerV4, PeerV6), neighbours(Eth1, peerHardware[1], SecondV4, "fd78::1"))
	})
	return p
}

// cable makes a pair of interfaces of one name, one end here, one at the peer's.
func (p *Pod) cable(number int, name string, addresses ...string) error {
	veth := &netlink.Veth{
		LinkAttrs: netlink.NewLinkAttrs(), PeerName: name, PeerNamespace: netlink.NsFd(p.Peer.handle.Fd()),
		PeerHardwareAddr: peerHardware[number],
	}
	veth.Name, veth.HardwareAddr = name, podHardware[number]
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("adding veth %s: %w", name, err)
	}
	return address(name, addresses...)
}

// neighbours tells an interface who is at its cable's other end. Asked over a cable that is new, the first question of
// IPv6 gets no answer, and the second one comes after a second: that much every pod's first connection took.
func neighbours(name string, hardware net.HardwareAddr, addresses ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding %s: %w", name, err)
	}
	for _, text := range addresses {
		n := &netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(text), HardwareAddr: hardware}
		if err := netlink.NeighSet(n); err != nil {
			return fmt.Errorf("telling %s of %s: %w", name, text, err)
		}
	}
	return nil
}

func address(name string, addresses ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding %s: %w", name, err)
	}
	for _, text := range addresses {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD // usable at once
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("adding %s to %s: %w", text, name, err)
		}
	}
	return netlink.LinkSetUp(link)
}

func up(name string) error { return address(name) }

func route(to, via string) error {
	dst, err := netlink.ParseIPNet(to)
	if err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: netip.MustParseAddr(via).AsSlice()})
}
