package text

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

func TestJoin(t *testing.T) {
	tcp, udp := match{proto: "tcp"}, match{proto: "udp"}
	if _, never, err := tcp.join(udp); !never || err != nil {
		t.Errorf("tcp and udp at once: never %t, %v", never, err)
	}
	if m, never, err := tcp.join(match{src: "-s 10.0.0.1/32"}); never || err != nil || m.proto != "tcp" || m.src != "-s 10.0.0.1/32" {
		t.Errorf("tcp from somewhere: %+v, %t, %v", m, never, err)
	}
	if _, _, err := (match{dst: "-d 10.0.0.1/32"}).join(match{dst: "-d 10.0.0.2/32"}); !errors.Is(err, errTwice) {
		t.Errorf("two destinations: %v", err)
	}
	if _, err := (match{ports: []portMatch{{ranges: []plan.Range{{Lo: 1, Hi: 1}}}}}).words(); err == nil {
		t.Error("ports without a protocol were written")
	}
}

// A list becomes a rule an item; what is outside a list is one rule, or can't be said. Other families' items vanish.
func TestConditions(t *testing.T) {
	set := func(kind plan.Kind, prefixes ...string) *plan.Set {
		s := &plan.Set{Kind: kind, Names: []string{"eth0", "eth1"}, Ranges: []plan.Range{{Lo: 1, Hi: 1}, {Lo: 5, Hi: 9}}}
		for _, p := range prefixes {
			s.Prefixes = append(s.Prefixes, netip.MustParsePrefix(p))
		}
		return s
	}
	for name, c := range map[string]struct {
		cond plan.Cond
		want string // rules, separated by "; "
		err  string
	}{
		"addresses":         {plan.Cond{Field: plan.FieldDst, Set: set(plan.KindIPv4, "10.0.0.0/8", "10.1.0.1/32", "fd00::/8")}, "-d 10.0.0.0/8; -d 10.1.0.1/32", ""},
		"outside addresses": {plan.Cond{Field: plan.FieldDst, Not: true, Set: set(plan.KindIPv4, "10.0.0.0/8", "11.0.0.0/8")}, "", "two conditions"},
		"all addresses":     {plan.Cond{Field: plan.FieldSrc, Prefix: netip.MustParsePrefix("0.0.0.0/0")}, "", ""},
		"outside all":       {plan.Cond{Field: plan.FieldSrc, Not: true, Prefix: netip.MustParsePrefix("0.0.0.0/0")}, "none", ""},
		"another family":    {plan.Cond{Field: plan.FieldFamily, Number: plan.NFProtoIPv6}, "none", ""},
		"owners":            {plan.Cond{Field: plan.FieldUID, Set: set(plan.KindUID)}, "-m owner --uid-owner 1; -m owner --uid-owner 5-9", ""},
		"other owners":      {plan.Cond{Field: plan.FieldGID, Not: true, Set: set(plan.KindGID)}, "-m owner ! --gid-owner 1 -m owner ! --gid-owner 5-9", ""},
		"other ports":       {plan.Cond{Field: plan.FieldTCPPort, Not: true, Set: set(plan.KindPort)}, "-p tcp -m multiport ! --dports 1,5:9", ""},
		"source port":       {plan.Cond{Field: plan.FieldUDPSource, Number: 53}, "-p udp -m udp --sport 53", ""},
		"other interfaces":  {plan.Cond{Field: plan.FieldInIface, Not: true, Set: set(plan.KindInterface)}, "", "two conditions"},
		"mark":              {plan.Cond{Field: plan.FieldMark, Number: 0x100, Mask: 0xff00}, "-m mark --mark 0x100/0xff00", ""},
		"connection's mark": {plan.Cond{Field: plan.FieldConnMark, Not: true, Number: 1337}, "-m connmark ! --mark 0x539", ""},
		"states":            {plan.Cond{Field: plan.FieldConnState, Mask: plan.StateEstablished | plan.StateRelated}, "-m conntrack --ctstate RELATED,ESTABLISHED", ""},
		"another protocol":  {plan.Cond{Field: plan.FieldProto, Number: 1}, "", "protocol 1 is unknown here"},
		"unknown":           {plan.Cond{Field: 99}, "", "field 99 is unknown here"},
	} {
		matches, err := (&writer{}).cond(c.cond)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %s", name, err, c.err)
			}
			continue
		}
		var got []string
		for _, m := range matches {
			words, err := m.words()
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			got = append(got, strings.TrimSpace(strings.Join(words, " ")))
		}
		if text := strings.Join(got, "; "); text != c.want && (c.want != "none" || matches != nil) || err != nil {
			t.Errorf("%s: %q, %v; want %q", name, text, err, c.want)
		}
	}
}

func TestWhatHasNoPlaceIsRefused(t *testing.T) {
	w := &writer{}
	if _, err := placeOf(plan.Chain{Name: "odd", Base: true, Type: plan.TypeFilter, Priority: 7}); err == nil || !strings.Contains(err.Error(), "chain odd at priority 7") {
		t.Errorf("an odd priority: %v", err)
	}
	if _, err := w.targets(nat, plan.Action{Kind: 99}, match{proto: "tcp"}); err == nil {
		t.Error("an unknown action was written")
	}
	if _, err := w.targets(nat, plan.Action{Kind: plan.DoRedirect, Port: 1}, match{}); err == nil || !strings.Contains(err.Error(), "needs a protocol") {
		t.Errorf("a redirect of everything: %v", err)
	}
	if _, err := product(make([]match, 300), make([]match, 300)); err == nil || !strings.Contains(err.Error(), "90000 rules") {
		t.Errorf("lists that multiply: %v", err)
	}
	var ranges []plan.Range
	for i := range uint32(40) {
		ranges = append(ranges, plan.Range{Lo: i * 10, Hi: i*10 + 1})
	}
	if lists := portLists(ranges); len(lists) != 6 || len(lists[0]) != 7 {
		t.Errorf("40 ranges in %d lists, want 6 of 7 at most: a range takes two of a rule's 15 places", len(lists))
	}
}
