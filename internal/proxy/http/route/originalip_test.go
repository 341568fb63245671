package route

import (
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestDetect: the connection's peer is 10.1.2.3:4000.
func TestDetect(t *testing.T) {
	inner := config.CIDRs{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	proxies := config.OriginalIP{CIDRs: inner}
	strangers := config.OriginalIP{CIDRs: config.CIDRs{netip.MustParsePrefix("192.0.2.0/24")}}
	header := config.OriginalIP{Header: "x-client"}
	trusted := config.OriginalIP{Header: "x-client", Trusted: true}
	strict := config.OriginalIP{Header: "x-client", Reject: 429}
	for i, c := range []struct {
		e        []config.OriginalIP
		fields   []string
		client   string
		internal bool
		reject   int
	}{
		{[]config.OriginalIP{{}}, []string{"x-forwarded-for: 1.1.1.1, 2.2.2.2"}, "2.2.2.2:0", false, 0},
		{[]config.OriginalIP{{Hops: 1}}, []string{"x-forwarded-for: 1.1.1.1, 2.2.2.2"}, "1.1.1.1:0", false, 0},
		{[]config.OriginalIP{{}}, []string{"x-forwarded-for: 10.9.9.9"}, "10.9.9.9:0", true, 0},
		{[]config.OriginalIP{{}}, nil, "10.1.2.3:4000", false, 0},
		{[]config.OriginalIP{proxies}, []string{"x-forwarded-for: 1.1.1.1, 2.2.2.2, 10.0.0.7, fd00::1"}, "2.2.2.2:0", false, 0},
		{[]config.OriginalIP{proxies}, []string{"x-forwarded-for: 1.1.1.1", "x-forwarded-for: 10.0.0.7"}, "1.1.1.1:0", false, 0},
		{[]config.OriginalIP{proxies}, []string{"x-forwarded-for: 10.0.0.1, 10.0.0.2"}, "10.0.0.1:0", false, 0},
		{[]config.OriginalIP{proxies}, []string{"x-forwarded-for: 1.1.1.1, rubbish, 10.0.0.2"}, "10.1.2.3:4000", false, 0},
		{[]config.OriginalIP{proxies}, nil, "10.1.2.3:4000", false, 0},
		{[]config.OriginalIP{strangers}, []string{"x-forwarded-for: 1.1.1.1"}, "10.1.2.3:4000", false, 0},
		{[]config.OriginalIP{header}, []string{"x-client: 1.1.1.1", "x-client: 2.2.2.2"}, "1.1.1.1:0", false, 0},
		{[]config.OriginalIP{header}, []string{"x-client: 10.9.9.9"}, "10.9.9.9:0", false, 0},
		{[]config.OriginalIP{trusted}, []string{"x-client: 10.9.9.9"}, "10.9.9.9:0", true, 0},
		{[]config.OriginalIP{header}, []string{"x-client: 1.1.1.1:80"}, "10.1.2.3:4000", false, 0},
		{[]config.OriginalIP{header}, []string{"x-client: fe80::1%eth0"}, "10.1.2.3:4000", false, 0},
		{[]config.OriginalIP{strict}, []string{"x-client: ?"}, "", false, 429},
		{[]config.OriginalIP{strict}, nil, "", false, 429},
		{[]config.OriginalIP{header, {}}, []string{"x-forwarded-for: 2.2.2.2"}, "2.2.2.2:0", false, 0},
		{[]config.OriginalIP{{}, strict}, []string{"x-forwarded-for: 2.2.2.2"}, "2.2.2.2:0", false, 0},
		{[]config.OriginalIP{strangers, strict}, []string{"x-forwarded-for: 2.2.2.2"}, "", false, 429},
	} {
		x := request("GET h /", c.fields...)
		edge, reject := Prepare(&config.HTTPManager{OriginalIP: c.e, Internal: inner}, x, nil)
		if reject != c.reject || edge || reject == 0 && (x.Client().String() != c.client || x.Internal != c.internal) {
			t.Errorf("%d: %s, internal %t, edge %t, rejected %d", i, x.Client(), x.Internal, edge, reject)
		}
	}
}

func TestDetectAppends(t *testing.T) {
	for fields, want := range map[string]string{
		"x-forwarded-for: 1.1.1.1": "x-forwarded-for=1.1.1.1,10.1.2.3 x-forwarded-proto=http ", "a: b": "a=b x-forwarded-proto=http ",
	} {
		x := request("GET h /", fields)
		Prepare(&config.HTTPManager{OriginalIP: []config.OriginalIP{{Append: true}}}, x, nil)
		if got := list(&x.Request.Fields); got != want {
			t.Errorf("%s: %s", fields, got)
		}
	}
}
