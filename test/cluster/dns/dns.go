// Package dns is the cluster's DNS: it answers for Services, headless ones and their pods, and says NXDOMAIN to the
// rest, for there is no upstream. In: Services and EndpointSlices of the API server. Out: answers on port 53 of the
// node. Start with Table, which is pure; serve.go keeps it up to date.
package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// ttl is short, for tests change things and look again.
const ttl = 5

// Table is what is answered: immutable, by lower-case name.
type Table struct {
	zone  string // "cluster.local."
	names map[string]*records
}

type records struct {
	addresses []netip.Addr
	cname     string
	srv       []dns.SRV
}

// NewTable makes the answers for domain.
func NewTable(domain string, services []*corev1.Service, slices []*discoveryv1.EndpointSlice) *Table {
	t := &Table{zone: dns.Fqdn(domain), names: map[string]*records{}}
	bySvc := map[string][]*discoveryv1.EndpointSlice{}
	for _, s := range slices {
		key := s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]
		bySvc[key] = append(bySvc[key], s)
	}
	for _, s := range services {
		t.add(s, bySvc[s.Namespace+"/"+s.Name])
	}
	return t
}

func (t *Table) add(s *corev1.Service, slices []*discoveryv1.EndpointSlice) {
	name := s.Name + "." + s.Namespace + ".svc." + t.zone
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		t.at(name).cname = dns.Fqdn(s.Spec.ExternalName)
	case s.Spec.ClusterIP == corev1.ClusterIPNone:
		t.addHeadless(name, s, slices)
	default:
		t.addAddresses(name, s.Spec.ClusterIPs)
		for _, p := range s.Spec.Ports {
			t.addPort(name, p.Name, string(p.Protocol), p.Port, name)
		}
	}
}

func (t *Table) addHeadless(name string, s *corev1.Service, slices []*discoveryv1.EndpointSlice) {
	t.at(name)
	for _, slice := range slices {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready && !s.Spec.PublishNotReadyAddresses {
				continue
			}
			t.addEndpoint(name, slice.Ports, e)
		}
	}
}

func (t *Table) addEndpoint(service string, ports []discoveryv1.EndpointPort, e discoveryv1.Endpoint) {
	if len(e.Addresses) == 0 {
		return
	}
	host := strings.NewReplacer(".", "-", ":", "-").Replace(e.Addresses[0])
	if e.Hostname != nil && *e.Hostname != "" {
		host = *e.Hostname
	}
	t.addAddresses(service, e.Addresses)
	t.addAddresses(host+"."+service, e.Addresses)
	for _, p := range ports {
		if p.Name != nil && p.Port != nil && p.Protocol != nil {
			t.addPort(service, *p.Name, string(*p.Protocol), *p.Port, host+"."+service)
		}
	}
}

func (t *Table) addAddresses(name string, addresses []string) {
	r := t.at(name)
	for _, text := range addresses {
		if address, err := netip.ParseAddr(text); err == nil {
			r.addresses = append(r.addresses, address)
		}
	}
}

func (t *Table) addPort(service, port, protocol string, number int32, target string) {
	if port == "" {
		return
	}
	r := t.at("_" + port + "._" + strings.ToLower(protocol) + "." + service)
	r.srv = append(r.srv, dns.SRV{Weight: 100, Port: uint16(number), Target: target})
}

func (t *Table) at(name string) *records {
	name = strings.ToLower(name)
	if t.names[name] == nil {
		t.names[name] = &records{}
	}
	return t.names[name]
}

// Answer is the response to query.
func (t *Table) Answer(query *dns.Msg) *dns.Msg {
	response := new(dns.Msg).SetReply(query)
	if len(query.Question) != 1 {
		response.Rcode = dns.RcodeFormatError
		return response
	}
	question := query.Question[0]
	name := strings.ToLower(question.Name)
	response.Authoritative = dns.IsSubDomain(t.zone, name)
	found, ok := t.names[name]
	if ok {
		response.Answer = found.answer(question)
	} else {
		response.Rcode = dns.RcodeNameError
	}
	if len(response.Answer) == 0 && response.Authoritative {
		response.Ns = []dns.RR{t.soa()}
	}
	return response
}

func (r *records) answer(q dns.Question) []dns.RR {
	header := func(kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: q.Name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
	}
	if r.cname != "" {
		return []dns.RR{&dns.CNAME{Hdr: header(dns.TypeCNAME), Target: r.cname}}
	}
	var out []dns.RR
	for _, a := range r.addresses {
		switch {
		case q.Qtype == dns.TypeA && a.Is4():
			out = append(out, &dns.A{Hdr: header(dns.TypeA), A: a.AsSlice()})
		case q.Qtype == dns.TypeAAAA && a.Is6():
			out = append(out, &dns.AAAA{Hdr: header(dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	if q.Qtype == dns.TypeSRV {
		for _, s := range r.srv {
			s.Hdr = header(dns.TypeSRV)
			out = append(out, &s)
		}
	}
	return out
}

// soa tells resolvers how long "no" is valid (RFC 2308).
func (t *Table) soa() dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: t.zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns:  "ns." + t.zone, Mbox: "pillion." + t.zone, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl,
	}
}
