//go:build linux

package capture_test

import (
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

const late = injected + " --arming late --redirect-dns"

// Rules that are armed late leave everything alone until the set says otherwise, and again when it says no more; what the
// set says outlives an apply. TPROXY's too.
func TestLateArming(t *testing.T) {
	pod := servedPod(t)
	tcp, udp := plan.Element{Proto: plan.TCP}, plan.Element{Proto: plan.UDP}
	flows := []flow{
		{name: "out", uid: 1000, dst: "10.77.0.1:80", want: outbound},
		{name: "out v6", uid: 1000, dst: "[fd77::1]:80", want: outbound},
		{name: "in", in: true, dst: "10.77.0.2:8080", want: inbound},
		{name: "hairpin", uid: 1337, gid: 1337, dst: "10.77.0.2:8080", want: inbound},
		{name: "query over TCP", uid: 1000, dst: "10.77.0.1:53", want: dns},
		{name: "query", udp: true, uid: 1000, dst: "10.77.0.1:53", want: dns},
	}
	for _, line := range []string{late, late + " -m TPROXY"} {
		var p *plan.Plan
		use := func() { pod.Must(t, func() (err error) { p, _, err = apply(line); return err }) }
		expect := func(armed ...plan.Element) {
			t.Helper()
			now := *p
			now.First.Armed = armed
			for _, f := range flows {
				if (f.udp && len(armed) < 2) || len(armed) == 0 {
					f.want = left
				}
				f.check(t, pod, &now)
			}
		}
		use()
		l, _, _ := liveSets(t, pod.Namespace)
		expect()
		must(t, l.Add(plan.SetArmed, 0, tcp))
		expect(tcp)
		must(t, l.Add(plan.SetArmed, 0, udp))
		use()
		expect(tcp, udp)
		must(t, l.Remove(plan.SetArmed, tcp, udp))
		expect()
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Clients connect while rules are armed and disarmed: each connection goes one way or the other, none fails.
func TestArmingUnderLoad(t *testing.T) {
	pod := servedPod(t)
	pod.Must(t, func() error { _, _, err := apply(late); return err })
	l, _, _ := liveSets(t, pod.Namespace)
	tcp := plan.Element{Proto: plan.TCP}
	stop := make(chan struct{})
	client := pod.Hammer(nstest.Dial{UID: 1000, GID: 1000, Dst: netip.MustParseAddrPort("10.77.0.1:80")}, 15001, stop)
	for range 30 {
		must(t, l.Add(plan.SetArmed, 0, tcp))
		must(t, l.Remove(plan.SetArmed, tcp))
	}
	close(stop)
	if tally := <-client; tally.Failed > 0 || tally.Connections == 0 {
		t.Errorf("%+v", tally)
	}
}
