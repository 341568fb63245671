package dns

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAnswers(t *testing.T) {
	table := NewTable("cluster.local", testServices(), testSlices())
	for _, test := range []struct {
		name  string
		kind  uint16
		rcode int
		want  []string
	}{
		{"web.shop.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, []string{"A 198.19.0.5"}},
		{"WEB.Shop.svc.cluster.LOCAL.", dns.TypeA, dns.RcodeSuccess, []string{"A 198.19.0.5"}},
		{"web.shop.svc.cluster.local.", dns.TypeAAAA, dns.RcodeSuccess, []string{"AAAA fd00:198:19::5"}},
		{"web.shop.svc.cluster.local.", dns.TypeMX, dns.RcodeSuccess, nil},
		{"_http._tcp.web.shop.svc.cluster.local.", dns.TypeSRV, dns.RcodeSuccess, []string{"SRV 0 100 80 web.shop.svc.cluster.local."}},
		{"db.shop.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, []string{"A 198.18.0.7", "A 198.18.0.8"}},
		{"db-0.db.shop.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, []string{"A 198.18.0.7"}},
		{"198-18-0-8.db.shop.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, []string{"A 198.18.0.8"}},
		{"198-18-0-9.db.shop.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, nil}, // not ready
		{"_sql._tcp.db.shop.svc.cluster.local.", dns.TypeSRV, dns.RcodeSuccess, []string{
			"SRV 0 100 5432 198-18-0-8.db.shop.svc.cluster.local.", "SRV 0 100 5432 db-0.db.shop.svc.cluster.local."}},
		{"early.shop.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, []string{"A 198.18.0.10"}},
		{"empty.shop.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, nil},
		{"out.shop.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, []string{"CNAME example.org."}},
		{"nobody.shop.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, nil},
		{"example.org.", dns.TypeA, dns.RcodeNameError, nil},
	} {
		t.Run(fmt.Sprintf("%s %s", test.name, dns.TypeToString[test.kind]), func(t *testing.T) {
			response := table.Answer(new(dns.Msg).SetQuestion(test.name, test.kind))
			if response.Rcode != test.rcode {
				t.Errorf("rcode %s, want %s", dns.RcodeToString[response.Rcode], dns.RcodeToString[test.rcode])
			}
			if diff := cmp.Diff(test.want, texts(response.Answer)); diff != "" {
				t.Errorf("answers (- want, + got):\n%s", diff)
			}
			if _, err := response.Pack(); err != nil {
				t.Errorf("can't be sent: %v", err)
			}
			ours := strings.HasSuffix(strings.ToLower(test.name), ".cluster.local.")
			if noAnswer := len(test.want) == 0; (len(response.Ns) == 1) != (ours && noAnswer) {
				t.Errorf("SOA in the authority section: %v", response.Ns)
			}
		})
	}
}

func TestNoQuestion(t *testing.T) {
	table := NewTable("cluster.local", nil, nil)
	if rcode := table.Answer(new(dns.Msg)).Rcode; rcode != dns.RcodeFormatError {
		t.Errorf("rcode %d", rcode)
	}
}

// texts are records without name, class and TTL.
func texts(all []dns.RR) []string {
	var out []string
	for _, r := range all {
		data := strings.Fields(r.String())[4:]
		out = append(out, dns.TypeToString[r.Header().Rrtype]+" "+strings.Join(data, " "))
	}
	slices.Sort(out)
	return out
}

func testServices() []*corev1.Service {
	service := func(name string, spec corev1.ServiceSpec) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: spec}
	}
	none := corev1.ClusterIPNone
	return []*corev1.Service{
		service("web", corev1.ServiceSpec{
			ClusterIP: "198.19.0.5", ClusterIPs: []string{"198.19.0.5", "fd00:198:19::5"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}, {Port: 81, Protocol: corev1.ProtocolTCP}},
		}),
		service("db", corev1.ServiceSpec{ClusterIP: none}),
		service("early", corev1.ServiceSpec{ClusterIP: none, PublishNotReadyAddresses: true}),
		service("empty", corev1.ServiceSpec{ClusterIP: none}),
		service("out", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"}),
	}
}

func testSlices() []*discoveryv1.EndpointSlice {
	yes, no, first := true, false, "db-0"
	name, protocol, port := "sql", corev1.ProtocolTCP, int32(5432)
	slice := func(service string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
			Ports:      []discoveryv1.EndpointPort{{Name: &name, Protocol: &protocol, Port: &port}, {}},
			Endpoints:  endpoints,
		}
	}
	return []*discoveryv1.EndpointSlice{
		slice("db",
			discoveryv1.Endpoint{Addresses: []string{"198.18.0.7"}, Hostname: &first, Conditions: discoveryv1.EndpointConditions{Ready: &yes}},
			discoveryv1.Endpoint{Addresses: []string{"198.18.0.8"}},
			discoveryv1.Endpoint{Addresses: []string{"198.18.0.9"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}},
			discoveryv1.Endpoint{}),
		slice("early", discoveryv1.Endpoint{Addresses: []string{"198.18.0.10"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}}),
	}
}
