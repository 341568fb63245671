//go:build linux

package capture_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

// reapplies is how often rules are written under connecting clients.
const reapplies = 200

// patience bounds what a connection may take on a machine that does much else; `make bench AREA=capture` has the figure.
const patience = 2 * time.Second

// leakLoops are pairs of plans to switch between, and connections that both of them capture at the same port.
func leakLoops() map[string][2]string {
	return map[string][2]string{
		"lists":    {injected, injected + " -x 10.99.0.0/16 -o 9000 --exclude-outbound-uids 5"},
		"contents": {"-i 10.77.0.0/24,fd77::/64 -b 8080", "-i 10.77.0.0/16,fd77::/48 -b 8080"},
		"scope":    {injected, "-i 10.77.0.0/24,fd77::/64 -q 443 -b 8080"},
	}
}

// Clients connect without pause while the plan is written again and again: what both plans capture never escapes, is
// never refused and never waits.
func TestNoConnectionEscapesWhileReapplying(t *testing.T) {
	for name, lines := range leakLoops() {
		t.Run(name, func(t *testing.T) {
			pod := servedPod(t)
			use := func(line string) {
				pod.Must(t, func() error {
					_, _, err := apply(line)
					return err
				})
			}
			use(lines[0])
			stop := make(chan struct{})
			var clients []<-chan nstest.Tally
			for _, dst := range []string{"10.77.0.1:80", "[fd77::1]:80", "10.77.0.1:443", "[fd77::1]:443"} {
				d := nstest.Dial{UID: 1000, GID: 1000, Dst: netip.MustParseAddrPort(dst)}
				clients = append(clients, pod.Hammer(d, 15001, stop))
			}
			for i := range reapplies {
				use(lines[(i+1)%2])
			}
			close(stop)
			var all nstest.Tally
			for _, client := range clients {
				tally := <-client
				if tally.Connections == 0 {
					t.Error("a client never connected: the test proves nothing")
				}
				all.Add(tally)
			}
			t.Logf("%d connections during %d reapplies, slowest %s", all.Connections, reapplies, all.Slowest)
			if all.Escaped > 0 || all.Failed > 0 || all.Slowest > patience {
				t.Errorf("%+v", all)
			}
		})
	}
}
