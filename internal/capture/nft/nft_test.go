package nft

import (
	"bytes"
	"math/rand"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/socket"
)

func TestElementsReadBackInAnyOrder(t *testing.T) {
	prefixes := func(texts ...string) (list []netip.Prefix) {
		for _, s := range texts {
			list = append(list, netip.MustParsePrefix(s))
		}
		return list
	}
	for _, s := range []*plan.Set{
		{Kind: plan.KindPort, Ranges: []plan.Range{{Lo: 1, Hi: 1}, {Lo: 80, Hi: 90}, {Lo: 65535, Hi: 65535}}},
		{Kind: plan.KindPort, Ranges: []plan.Range{{Lo: 1, Hi: 65535}}},
		{Kind: plan.KindPort, Ranges: []plan.Range{{Lo: 80, Hi: 80}, {Lo: 443, Hi: 443}}},
		{Kind: plan.KindUID, Ranges: []plan.Range{{Lo: 0, Hi: 0}, {Lo: 106, Hi: 4294967294}}},
		{Kind: plan.KindGID, Ranges: []plan.Range{{Lo: 1337, Hi: 1337}}},
		{Kind: plan.KindProto, Ranges: []plan.Range{{Lo: 6, Hi: 6}, {Lo: 17, Hi: 17}}},
		{Kind: plan.KindIPv4, Prefixes: prefixes("0.0.0.0/1", "128.0.0.0/25", "128.0.0.128/25", "255.255.255.255/32")},
		{Kind: plan.KindIPv4, Prefixes: prefixes("0.0.0.0/0")},
		{Kind: plan.KindIPv6, Prefixes: prefixes("::1/128", "fd00::/8", "ffff::/16")},
		{Kind: plan.KindInterface, Names: []string{"eth0", "veth-very-long1"}},
	} {
		elems := elements(spans(s), s.Interval())
		for range 10 {
			rand.Shuffle(len(elems), func(i, j int) { elems[i], elems[j] = elems[j], elems[i] })
			if got := spansOf(slices.Clone(elems), s.Interval()); !sameSpans(got, spans(s)) {
				t.Errorf("%v: read back as %v", s.Elements(), got)
			}
		}
		less := spansOf(slices.Clone(elems[1:]), s.Interval())
		if sameSpans(less, spans(s)) {
			t.Errorf("%v: nobody notices that an element is gone", s.Elements())
		}
	}
}

// The kernel's form of our expressions is ours; one more, one less, or another value is not.
func TestSameExprs(t *testing.T) {
	p := &plan.Plan{
		Families: plan.Families{V4: true, V6: true}, Loopback: netip.MustParsePrefix("127.0.0.0/8"), Proxy: plan.Identity{UIDs: []uint32{1}, GIDs: []uint32{2}},
		In:     plan.Inbound{Via: plan.Redirect, Port: 15006, Tunnel: 15008, Ports: plan.Ports{All: true}},
		Out:    plan.Outbound{Via: plan.Redirect, Port: 15001, CIDRs: plan.Prefixes{All: true}},
		Bypass: []plan.Bypass{{Stage: plan.StageIdentity, Hook: plan.Output, UIDs: []plan.Range{{Lo: 5, Hi: 9}}}},
	}
	var rules []plan.Rule
	for _, c := range p.Rules().Chains {
		rules = append(rules, c.Rules...)
	}
	for i, a := range rules {
		listed := asListed(t, encode(a))
		if !sameExprs(listed, encode(a)) {
			t.Errorf("%s isn't itself", a)
		}
		if sameExprs(listed[1:], encode(a)) || sameExprs(append(slices.Clone(listed), listed[0]), encode(a)) {
			t.Errorf("%s: an expression more or less makes no difference", a)
		}
		for _, b := range rules[i+1:] {
			if sameExprs(listed, encode(b)) { // the counter's name alone tells some apart
				t.Errorf("%s passes for %s", a, b)
			}
		}
	}
}

// asListed encodes expressions as the kernel lists them.
func asListed(t *testing.T, exprs []expr.Any) []socket.Attribute {
	t.Helper()
	var list []socket.Attribute
	for _, e := range exprs {
		data, err := expr.Marshal(byte(nftables.TableFamilyINet), e)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, socket.Attribute{Data: data})
	}
	return list
}

func TestComment(t *testing.T) {
	for _, text := range []string{"", "output.capture.all: -i *"} {
		if got := commentOf(comment(text)); got != text {
			t.Errorf("%q reads back as %q", text, got)
		}
	}
	if got := commentOf(append([]byte{7, 1, 0}, comment("behind another")...)); got != "behind another" {
		t.Errorf("got %q", got)
	}
}

// What others leave in our table is read without trust.
func FuzzDecode(f *testing.F) {
	f.Add(comment("x"))
	f.Add([]byte{0, 200, 1})
	f.Add(bytes.Repeat([]byte{8, 0, 1, 0, 0, 0, 0, 1}, 3))
	f.Fuzz(func(_ *testing.T, data []byte) {
		commentOf(data)
		r, err := decodeRule(data)
		if err != nil {
			return
		}
		sameExprs(r.exprs, aboutExprs())
		sameAttributes(data, data, nil)
	})
}
