package plan

import (
	"net/netip"
	"slices"
)

// portDNS is where queries go.
const portDNS = 53

// The zones of conntrack. The proxy's resolver and the application may use the same source port towards the same server:
// in one zone the second flow would inherit the first one's translation, and bypass the resolver.
const (
	zoneDirect   = 1 // those whose queries aren't captured, and the real servers
	zoneCaptured = 2 // those whose queries are, and our resolver
)

// dns leads queries to the resolver, before loopback: so a server on localhost is captured too.
func (b *builder) dns() {
	for _, s := range b.servers() {
		for _, proto := range []struct {
			name string
			port Field
		}{{"udp", FieldUDPPort}, {"tcp", FieldTCPPort}} {
			conds := append([]Cond{{Field: proto.port, Number: portDNS}}, s.to...)
			b.rule(StageDNS, proto.name+s.suffix, s.reason, s.do, conds...)
		}
	}
}

// server is a group of servers whose queries are captured alike.
type server struct {
	suffix, reason string
	to, from       []Cond // that a packet goes to one of them, comes from one of them
	do             Action
}

// servers are all servers in one group, or one group a family if lists or the resolver's address tell them apart.
func (b *builder) servers() []server {
	dns := b.plan.DNS
	if !dns.On() {
		return nil
	}
	do := Action{Kind: DoRedirect, To: VerdictDNS, Port: dns.Port}
	if dns.All && dns.Via == Redirect {
		return []server{{reason: "--capture-all-dns", do: do}}
	}
	var list []server
	for _, f := range b.families() {
		s := server{suffix: f.suffix, reason: "--redirect-dns, capture-dns", do: do}
		if dns.Via == DNAT {
			s.do = Action{Kind: DoDNAT, To: VerdictDNS, Addr: f.localhost, Port: dns.Port}
		}
		if dns.All {
			is := Cond{Field: FieldFamily, Number: f.number}
			s.to, s.from, s.reason = []Cond{is}, []Cond{is}, "--capture-all-dns"
		} else {
			own := ofFamily(hosts(dns.Servers), f.v4)
			if len(own) == 0 {
				continue
			}
			set := b.set(Set{Name: "dns" + f.suffix, Kind: f.kind, Prefixes: own})
			s.to, s.from = []Cond{{Field: FieldDst, Set: set}}, []Cond{{Field: FieldSrc, Set: set}}
		}
		list = append(list, s)
	}
	return list
}

func hosts(list []netip.Addr) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(list))
	for i, a := range list {
		prefixes[i] = netip.PrefixFrom(a, a.BitLen())
	}
	return prefixes
}

// zones splits UDP before conntrack sees it. Each rule repeats the match of the DNS rule it belongs to. (TCP needs no
// zones: two sockets can't connect from one port to one server.)
func (b *builder) zones() {
	if !b.plan.DNS.On() || !b.plan.DNS.Zones {
		return
	}
	b.prefix = "zone_"
	b.aside(chainRawIn, Prerouting, TypeFilter, priorityRaw)
	b.scope()
	b.exempt()
	for _, s := range b.servers() {
		b.zone("answer"+s.suffix, "answers of real servers", zoneDirect, s.from, Cond{Field: FieldUDPSource, Number: portDNS})
	}
	b.aside(chainRawOut, Output, TypeFilter, priorityRaw)
	b.scope()
	for _, p := range b.proxies() { // before exempt: an excluded port may be the one that asked
		answer := Cond{Field: FieldUDPSource, Number: uint32(b.plan.DNS.Port)}
		b.zone("answer_"+p.what, "our resolver's answers", zoneCaptured, nil, answer, p.is)
	}
	b.exempt()
	b.zonesOfQueries()
	b.prefix = ""
}

func (b *builder) zonesOfQueries() {
	query := Cond{Field: FieldUDPPort, Number: portDNS}
	for _, s := range b.servers() {
		for _, p := range append(b.proxies(), b.strangers()...) {
			b.zone(p.what+s.suffix, p.reason, zoneDirect, s.to, query, p.is)
		}
		if owned, ok := b.owned(); ok {
			b.zone("owner"+s.suffix, s.reason, zoneCaptured, s.to, query, owned)
			b.zone("others"+s.suffix, "ISTIO_OUTBOUND_OWNER_GROUPS: none of them", zoneDirect, s.to, query)
			continue
		}
		b.zone("query"+s.suffix, s.reason, zoneCaptured, s.to, query)
	}
}

func (b *builder) zone(what, reason string, zone uint16, server []Cond, conds ...Cond) {
	b.rule(StageDNS, what, reason, Action{Kind: DoZone, Zone: zone}, append(slices.Clone(conds), server...)...)
}
