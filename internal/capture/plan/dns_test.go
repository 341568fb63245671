package plan

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseResolvConf(t *testing.T) {
	text := "search a.b\n# nameserver 9.9.9.9\nnameserver fe80::1%eth0\n  nameserver\t1.2.3.4 trailing\nnameserver nonsense\nnameserver ::ffff:5.6.7.8\nnameserver 0.0.0.0\nnameserver\nnameserver 1.2.3.4\n"
	want := []string{"1.2.3.4", "5.6.7.8", "fe80::1"}
	var got []string
	for _, a := range ParseResolvConf(text) {
		got = append(got, a.String())
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := len(ParseResolvConf(strings.Repeat("nameserver 1.2.3.4\n", 3) + manyServers(100))); n > maxResolvers {
		t.Errorf("%d servers", n)
	}
}

func manyServers(n int) string {
	var b strings.Builder
	a := netip.MustParseAddr("10.0.0.1")
	for range n {
		b.WriteString("nameserver " + a.String() + "\n")
		a = a.Next()
	}
	return b.String()
}

func TestGoldenDNS(t *testing.T) {
	for name, line := range map[string]string{
		"dns":     "-i * -b * --redirect-dns -o 9000 -c eth1 --exclude-outbound-uids 5 --proxy-mark 7",
		"dns_all": "-i * -b * --redirect-dns --capture-all-dns --ip-families ipv4",
	} {
		c, err := Parse(strings.Fields(line), Environment{Vars: map[string]string{"ISTIO_OUTBOUND_OWNER_GROUPS": "3000"}, Resolvers: testServers})
		if err != nil {
			t.Fatal(err)
		}
		p, warnings, err := New(c.Options, dual())
		if err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		golden(t, name+".nft", p.Rules().Text("golden"))
	}
}

// A plan of one family captures queries to servers of that family, and says so if there's none.
func TestDNSServersOfOneFamily(t *testing.T) {
	o := Defaults()
	o.RedirectDNS, o.Resolvers = true, ParseResolvConf("nameserver fd77::1")
	p, warnings, err := New(o, Families{V4: true})
	if err != nil || p.DNS.On() || len(warnings) == 0 {
		t.Errorf("%v, %q, %v", p.DNS, warnings, err)
	}
	p, _, err = New(o, dual())
	if err != nil || p.DNS.String() != "redirect:15053" || len(p.DNS.Servers) != 1 {
		t.Errorf("%v, %v", p.DNS, err)
	}
}
