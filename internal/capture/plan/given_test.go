package plan

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The dialects of other tools write a rule an item, in the user's order; what the flag means stays sorted and merged.
func TestGiven(t *testing.T) {
	line := "-b 9001,80-81,80-81 -d 22,15090,15021,15020 -q 443,80 -o 7,6 -i 10.2.0.0/16,10.1.0.9 -x 10.1.2.3/8,fd99::/64"
	p := mustPlan(t, line, dual())
	host := netip.MustParsePrefix
	want := Given{
		InboundPorts: []Range{{9001, 9001}, {80, 81}}, InboundSkips: []Range{{22, 22}, {15090, 15090}, {15021, 15021}, {15020, 15020}},
		OutboundPorts: []Range{{443, 443}, {80, 80}}, OutboundSkips: []Range{{7, 7}, {6, 6}},
		CIDRs: []netip.Prefix{host("10.2.0.0/16"), host("10.1.0.9/32")}, SkipCIDRs: []netip.Prefix{host("10.0.0.0/8"), host("fd99::/64")},
	}
	if d := cmp.Diff(want, p.Given, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Error(d)
	}
	if other := mustPlan(t, "-b 80-81,9001 -d 15020,15021,22,15090 -q 80,443 -o 6,7 -i 10.1.0.9,10.2.0.0/16 -x fd99::/64,10.0.0.0/8", dual()); other.Fingerprint() != p.Fingerprint() {
		t.Error("the order of a list changes the plan's fingerprint")
	}
	if p := mustPlan(t, "-i * -b *", dual()); p.Given.CIDRs != nil || p.Given.InboundPorts != nil {
		t.Errorf("* became a list: %+v", p.Given)
	}
}
