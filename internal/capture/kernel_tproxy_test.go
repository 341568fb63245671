//go:build linux

package capture_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// TPROXY, for everything and for some ports.
const (
	diverted     = "-u 1337 -m TPROXY -i * -b * -d 15090,15021,15020 -c eth1 --drop-invalid --redirect-dns"
	divertedSome = "-u 1337 -m TPROXY -i * -b 8080,9000-9010 -t 5 -r 6 --ip-families dual --exclude-inbound-ip-ranges fd77::1"
)

func tproxyScenarios() map[string][]flow {
	return map[string][]flow{
		diverted: {
			{name: "in", in: true, dst: "10.77.0.2:8080", want: inbound},
			{name: "in v6", in: true, dst: "[fd77::2]:8080", want: inbound},
			{name: "in to the tunnel port", in: true, dst: "10.77.0.2:15008", want: left},
			{name: "in to the status port", in: true, dst: "[fd77::2]:15020", want: left},
			{name: "in over an excluded interface", in: true, dst: "10.78.0.2:8080", want: left},
			{name: "UDP in", in: true, udp: true, dst: "10.77.0.2:8080", want: left},
			{name: "out", uid: 1000, dst: "10.77.0.1:80", want: outbound},
			{name: "out v6", uid: 1000, dst: "[fd99::1]:80", want: outbound},
			{name: "proxy out", uid: 1337, gid: 1337, dst: "10.77.0.1:80", want: left},
			{name: "hairpin", uid: 1337, gid: 1337, dst: "10.77.0.2:8080", want: inbound},
			{name: "hairpin v6", uid: 1337, gid: 1337, dst: "[fd77::2]:8080", want: inbound},
			{name: "own address", uid: 1000, dst: "10.77.0.2:8080", want: left},
			{name: "localhost", uid: 1000, dst: "127.0.0.1:8080", want: left},
			{name: "passthrough", uid: 1337, gid: 1337, src: "127.0.0.6", dst: "10.77.0.2:8080", want: left},
			{name: "in a client's name", uid: 1337, gid: 1337, mark: 1337, src: "10.77.0.1", dst: "10.77.0.2:8080", want: left},
			{name: "in a client's name v6", uid: 1337, gid: 1337, mark: 1337, src: "fd77::1", dst: "[fd77::2]:8080", want: left},
			{name: "query", udp: true, uid: 1000, dst: "10.77.0.1:53", want: dns},
			{name: "proxy's query", udp: true, uid: 1337, gid: 1337, dst: "10.77.0.1:53", want: left},
		},
		divertedSome: {
			{name: "listed port", in: true, dst: "10.77.0.2:8080", want: inbound},
			{name: "port in a listed range", in: true, dst: "10.77.0.2:9000", want: inbound},
			{name: "port not listed", in: true, dst: "10.77.0.2:8081", want: left},
			{name: "excluded source", in: true, dst: "[fd77::2]:8080", want: left},
			{name: "in a client's name", uid: 1337, gid: 1337, mark: 5, src: "10.77.0.1", dst: "10.77.0.2:8080", want: left},
		},
	}
}

// Where no proxy listens, the application doesn't get the connection either.
func TestNoProxyNoConnection(t *testing.T) {
	pod := nstest.NewPod(t)
	pod.Serve(t, 8080)
	pod.Must(t, func() error { _, _, err := apply(diverted); return err })
	for _, dst := range []string{"10.77.0.2:8080", "[fd77::2]:8080"} {
		pod.Peer.Must(t, func() error {
			if a, err := nstest.Connect(nstest.Dial{Dst: netip.MustParseAddrPort(dst), Wait: 300 * time.Millisecond}); err == nil {
				t.Errorf("a connection to %s arrived at port %d", dst, a.Port)
			}
			return nil
		})
	}
}

// istioRules adds the rule istio-iptables adds, which knows no protocol; here it's there twice then.
func istioRules() error {
	rule := netlink.NewRule()
	mask := uint32(1<<32 - 1)
	rule.Family, rule.Mark, rule.Mask, rule.Table, rule.Priority = netlink.FAMILY_V4, 1337, &mask, 133, 100
	return netlink.RuleAdd(rule)
}

// The policy rules and routes are part of the plan: verify misses them, apply brings them back, and takes away those of
// other plans, of Istio, and those that are there twice.
func TestDivertsArePartOfThePlan(t *testing.T) {
	pod := nstest.NewPod(t)
	var p *plan.Plan
	pod.Must(t, func() (err error) { p, _, err = apply(diverted); return err })
	four := capture.Divert{V4: true, Mark: 1337, Table: 133}
	route := capture.Divert{Route: true, Table: 133}
	old := capture.Divert{V4: true, Mark: 77, Table: 78}
	diff := func(want ...string) {
		t.Helper()
		pod.Must(t, func() error {
			return with(func(s capture.System) error {
				list, _, err := s.Diff(p)
				var got []string
				for _, d := range list {
					got = append(got, d.String())
				}
				if strings.Join(got, "; ") != strings.Join(want, "; ") {
					t.Errorf("differences: %q, want %q", got, want)
				}
				return err
			})
		})
	}
	change := func(work func(capture.Routes) error) {
		t.Helper()
		pod.Must(t, func() error { return with(func(s capture.System) error { return work(s.Routes) }) })
	}
	diff()
	change(func(r capture.Routes) error { return r.RemoveDivert(four) })
	diff("missing policy rule fwmark 0x539 lookup 133, ipv4")
	change(func(r capture.Routes) error { return r.RemoveDivert(route) })
	diff("missing policy rule fwmark 0x539 lookup 133, ipv4", "missing route local default dev lo table 133, ipv6")
	change(func(r capture.Routes) error { return r.AddDivert(old) })
	diff("missing policy rule fwmark 0x539 lookup 133, ipv4", "missing route local default dev lo table 133, ipv6",
		"surplus policy rule fwmark 0x4d lookup 78, ipv4")
	pod.Must(t, func() error {
		_, result, err := apply(diverted)
		if result.Changed != 3 {
			t.Errorf("apply changed %d, want 3", result.Changed)
		}
		return err
	})
	diff()
	pod.Must(t, istioRules)
	diff("surplus policy rule fwmark 0x539 lookup 133, ipv4")
	pod.Must(t, func() (err error) { p, _, err = apply(injected); return err })
	diff()
	change(func(r capture.Routes) error {
		left, err := r.Diverts()
		if len(left) > 0 {
			t.Errorf("REDIRECT left %v", left)
		}
		return err
	})
}
