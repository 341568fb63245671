package capture

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Packet makes the packet explain was asked about: flags, or positional "tcp SOURCE:PORT DESTINATION:PORT" and flags.
// What the question leaves open comes from own, the addresses of the namespace: the pod's own address as the other end,
// and lo for what stays in the pod. Every other connection takes eth0, unless an interface is named.
func Packet(args []string, q plan.Query, own []netip.Addr) (plan.Packet, error) {
	q, err := positional(args, q)
	if err != nil {
		return plan.Packet{}, err
	}
	packet := plan.Packet{Hook: plan.Output, Proto: plan.TCP, Src: q.Src, Dst: q.Dst, Mark: q.Mark}
	if q.Proto == "udp" {
		packet.Proto = plan.UDP
	}
	if !packet.Dst.Addr().IsValid() {
		packet.Dst = netip.AddrPortFrom(ownAddress(own, !q.Src.Addr().Is6()), q.Dst.Port())
	}
	if !packet.Src.Addr().IsValid() {
		packet.Src = netip.AddrPortFrom(source(own, packet.Dst.Addr(), q.Inbound), q.Src.Port())
	}
	if packet.Src.Addr().Is4() != packet.Dst.Addr().Is4() {
		return plan.Packet{}, fmt.Errorf("%s and %s are of different IP families; want a source and a destination of one", packet.Src.Addr(), packet.Dst.Addr())
	}
	if q.Inbound {
		packet.Hook = plan.Prerouting
		packet.In = cmp.Or(q.Interface, route(packet, own))
		return packet, nil
	}
	packet.Out, packet.Owner = cmp.Or(q.Interface, route(packet, own)), &plan.Owner{UID: q.UID, GID: q.GID}
	return packet, nil
}

// positional reads "tcp SOURCE DESTINATION" into the query.
func positional(args []string, q plan.Query) (plan.Query, error) {
	if len(args) == 0 {
		return q, nil
	}
	if len(args) != 3 || (args[0] != "tcp" && args[0] != "udp") {
		return q, fmt.Errorf("arguments %q: want tcp|udp SOURCE:PORT DESTINATION:PORT, or --from and --to", args)
	}
	var err error
	q.Proto = args[0]
	if q.Src, err = netip.ParseAddrPort(args[1]); err != nil {
		return q, fmt.Errorf("source %q: want ADDRESS:PORT", args[1])
	}
	if q.Dst, err = netip.ParseAddrPort(args[2]); err != nil || q.Dst.Addr().Is4() != q.Src.Addr().Is4() {
		return q, fmt.Errorf("destination %q: want ADDRESS:PORT of the source's family", args[2])
	}
	return q, nil
}

// source is where a packet to dst comes from if nobody says it: another host for what arrives, which no address stands
// for; what stays in the pod keeps its address.
func source(own []netip.Addr, dst netip.Addr, inbound bool) netip.Addr {
	switch {
	case inbound:
		return unspecified(dst.Is4())
	case dst.IsLoopback(), slices.Contains(own, dst):
		return dst
	default:
		return ownAddress(own, dst.Is4())
	}
}

// ownAddress is the pod's first address of a family, the unspecified one if it has none.
func ownAddress(own []netip.Addr, v4 bool) netip.Addr {
	for _, a := range own {
		if a.Is4() == v4 && reachable(a) {
			return a
		}
	}
	return unspecified(v4)
}

func unspecified(v4 bool) netip.Addr {
	if v4 {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// route names the interface a packet takes: lo if it never leaves the pod.
func route(p plan.Packet, own []netip.Addr) string {
	src, dst := p.Src.Addr(), p.Dst.Addr()
	stays := dst.IsLoopback() || src.IsLoopback() || src == dst
	if stays || p.Hook == plan.Output && slices.Contains(own, dst) {
		return "lo"
	}
	return "eth0"
}
