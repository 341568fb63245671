package probe

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// probe is one connection to make and what must become of it.
type probe struct {
	name   string
	packet plan.Packet
	trace  plan.Trace // what the plan says
	skip   string     // why it can't be made, "" if it can
}

// family is one IP family as probes need it.
type family struct {
	name               string
	own, loopback, six netip.Addr // six: what the proxy delivers from
	elsewhere, dns     []netip.Addr
}

func cases(p *plan.Plan, o Options) (all []probe) {
	if p.Empty() {
		return nil
	}
	for _, f := range families(p, o) {
		all = append(all, f.outbound(p, o)...)
		all = append(all, f.within(p, o)...)
		all = append(all, f.queries(p)...)
	}
	return all
}

func families(p *plan.Plan, o Options) (list []family) {
	if p.Families.V4 {
		f := family{name: "ipv4", loopback: address("127.0.0.1"), six: address(istio.PassthroughV4)}
		// Blocks for documentation: nobody has them, and a default route leads there.
		f.elsewhere, f.dns = addresses("192.0.2.1", "198.51.100.1", "203.0.113.1"), addresses("192.0.2.53")
		list = append(list, f)
	}
	if p.Families.V6 {
		f := family{name: "ipv6", loopback: address("::1"), six: address(istio.PassthroughV6)}
		f.elsewhere, f.dns = addresses("2001:db8::1", "3fff::1"), addresses("2001:db8::53")
		list = append(list, f)
	}
	for i := range list {
		list[i].fill(p, o.Own)
	}
	return list
}

// fill adds what the plan and the namespace know of the family.
func (f *family) fill(p *plan.Plan, own []netip.Addr) {
	for _, a := range own {
		usable := !a.IsLoopback() && !a.IsLinkLocalUnicast() && a != f.six
		if f.is(a) && usable && !f.own.IsValid() {
			f.own = a
		}
	}
	for _, prefix := range p.Out.CIDRs.List {
		if f.is(prefix.Addr()) && !prefix.Addr().IsLoopback() {
			f.elsewhere = append(f.elsewhere, inside(prefix))
		}
	}
	for _, a := range p.First.Out {
		if f.is(a) {
			f.elsewhere = append(f.elsewhere, a)
		}
	}
	if !p.DNS.All {
		f.dns = slices.DeleteFunc(slices.Clone(p.DNS.Servers), func(a netip.Addr) bool { return !f.is(a) })
	}
}

func (f *family) is(a netip.Addr) bool { return a.Is4() == f.loopback.Is4() }

// inside is the first address of a prefix that isn't the network's own.
func inside(prefix netip.Prefix) netip.Addr {
	if prefix.IsSingleIP() {
		return prefix.Addr()
	}
	return prefix.Addr().Next()
}

// outbound finds an application and a destination that the plan captures; what captures nothing has none.
func (f *family) outbound(p *plan.Plan, o Options) []probe {
	ports := []uint16{o.Port}
	for _, r := range p.Out.Ports {
		ports = append(ports, uint16(r.Lo))
	}
	var found []probe
	for _, to := range f.elsewhere {
		for _, port := range ports {
			for _, who := range applications(p) {
				c := probe{name: "out " + f.name, packet: outPacket(plan.TCP, who, netip.AddrPortFrom(to, port))}
				if c.settle(p, plan.VerdictOutbound) {
					found = append(found, c)
				}
			}
		}
	}
	return best(found)
}

// within are the connections that never leave the pod: the plan tells the proxy's from the application's.
func (f *family) within(p *plan.Plan, o Options) (all []probe) {
	add := func(name string, who *plan.Owner, from, to netip.Addr) {
		if who == nil || !to.IsValid() {
			return
		}
		c := probe{name: name + " " + f.name, packet: outPacket(plan.TCP, *who, netip.AddrPortFrom(to, o.Port))}
		if from.IsValid() {
			c.packet.Src = netip.AddrPortFrom(from, 0)
		}
		if c.settle(p, "") {
			all = append(all, c)
		}
	}
	proxy, application := proxyOwner(p), applications(p)[0]
	add("hairpin", proxy, netip.Addr{}, f.own)
	add("passthrough", proxy, f.six, f.own)
	add("own address", &application, netip.Addr{}, f.own)
	add("loopback", &application, netip.Addr{}, f.loopback)
	return all
}

// queries are the application's to a captured server.
func (f *family) queries(p *plan.Plan) (all []probe) {
	if !p.DNS.On() {
		return nil
	}
	for _, proto := range []uint8{plan.UDP, plan.TCP} {
		name := map[uint8]string{plan.UDP: "dns udp ", plan.TCP: "dns tcp "}[proto]
		var found []probe
		for _, server := range f.dns {
			for _, who := range applications(p) {
				c := probe{name: name + f.name, packet: outPacket(proto, who, netip.AddrPortFrom(server, 53))}
				if c.settle(p, "") && c.trace.Port == p.DNS.Port {
					found = append(found, c)
				}
			}
		}
		all = append(all, best(found)...)
	}
	return all
}

// best is a probe that can be made, else one that says why none can; nothing if there is nothing to probe.
func best(found []probe) []probe {
	if i := slices.IndexFunc(found, func(c probe) bool { return c.skip == "" }); i > 0 {
		return found[i : i+1]
	}
	return found[:min(len(found), 1)]
}

// settle fills in what the kernel chooses (interface and source) and what the plan says. It tells whether that is want,
// "" being content with anything.
func (c *probe) settle(p *plan.Plan, want plan.Verdict) bool {
	if !mayBe(*c.packet.Owner) {
		c.skip = fmt.Sprintf("being user %d, group %d wants CAP_SETUID and CAP_SETGID", c.packet.Owner.UID, c.packet.Owner.GID)
	}
	local, iface, err := routeTo(c.packet.Dst)
	if err != nil {
		c.skip, iface = err.Error(), "eth0"
	}
	if !c.packet.Src.IsValid() && local.IsValid() {
		c.packet.Src = netip.AddrPortFrom(local, 0)
	}
	c.packet.Out = iface
	c.trace = p.Eval(c.packet)
	return want == "" || c.trace.Verdict == want
}

func outPacket(proto uint8, who plan.Owner, to netip.AddrPort) plan.Packet {
	return plan.Packet{Hook: plan.Output, Proto: proto, Dst: to, Owner: &who}
}

func address(s string) netip.Addr { return netip.MustParseAddr(s) }

func addresses(texts ...string) (list []netip.Addr) {
	for _, s := range texts {
		list = append(list, address(s))
	}
	return list
}
