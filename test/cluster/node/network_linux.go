package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/vishvananda/netlink"

	"github.com/pillion-mesh/pillion/test/cluster/component"
)

// Network gives the namespace the node's address and routes, and says whether netfilter sees what a bridge forwards.
// The address is on one end of a veth pair whose other end is here too: a dummy device isn't in every kernel.
func Network(dualStack bool) (bridged bool, err error) {
	if err := up("lo"); err != nil {
		return false, err
	}
	pair := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "node0p"}
	pair.Name = "node0"
	if err := netlink.LinkAdd(pair); err != nil {
		return false, fmt.Errorf("making the link node0: %w", err)
	}
	if err := errors.Join(up("node0"), up("node0p")); err != nil {
		return false, err
	}
	if err := addresses(pair, dualStack); err != nil {
		return false, err
	}
	if err := forwarding(dualStack); err != nil {
		return false, err
	}
	return bridgeCallsNetfilter(dualStack)
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("looking for link %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting link %s up: %w", name, err)
	}
	return nil
}

// addresses gives node0 the node's, and a default route, without which nobody dials a service's address.
func addresses(link netlink.Link, dualStack bool) error {
	hosts := []net.IPNet{{IP: net.ParseIP(component.NodeAddress), Mask: net.CIDRMask(32, 32)}}
	routes := []net.IPNet{{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}}
	if dualStack {
		hosts = append(hosts, net.IPNet{IP: net.ParseIP(component.NodeAddress6), Mask: net.CIDRMask(128, 128)})
		routes = append(routes, net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)})
	}
	const noDAD = 0x02 // IFA_F_NODAD: nobody else is there, so don't wait for their objections
	for n, host := range hosts {
		address := &netlink.Addr{IPNet: &host}
		if host.IP.To4() == nil {
			address.Flags = noDAD
		}
		if err := netlink.AddrAdd(link, address); err != nil {
			return fmt.Errorf("giving node0 the address %s: %w", host.IP, err)
		}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: &routes[n]}); err != nil {
			return fmt.Errorf("adding the default route of %s: %w", host.IP, err)
		}
	}
	return nil
}

func forwarding(dualStack bool) error {
	settings := []string{"/proc/sys/net/ipv4/ip_forward"}
	if dualStack {
		settings = append(settings, "/proc/sys/net/ipv6/conf/all/forwarding")
	}
	for _, path := range settings {
		if err := os.WriteFile(path, []byte("1"), 0); err != nil {
			return fmt.Errorf("switching forwarding on: %w", err)
		}
	}
	return nil
}

// bridgeCallsNetfilter switches it on for this network namespace; kernels without br_netfilter don't have the setting.
func bridgeCallsNetfilter(dualStack bool) (bool, error) {
	settings := []string{"/proc/sys/net/bridge/bridge-nf-call-iptables"}
	if dualStack {
		settings = append(settings, "/proc/sys/net/bridge/bridge-nf-call-ip6tables")
	}
	for _, path := range settings {
		err := os.WriteFile(path, []byte("1"), 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("letting netfilter see bridged packets: %w", err)
		}
	}
	return true, nil
}
