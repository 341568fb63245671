//go:build linux

package capture_test

import (
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

// reapplies is how often rules are written under connecting clients.
const reapplies = 200

// leakLoops are pairs of plans to switch between, and connections that both of them capture at the same port.
func leakLoops() map[string][2]string {
	return map[string][2]string{
		"lists":    {injected, injected + " -x 10.99.0.0/16 -o 9000 --exclude-outbound-uids 5"},
		"contents": {"-i 10.77.0.0/24,fd77::/64 -b 8080", "-i 10.77.0.0/16,fd77::/48 -b 8080"},
		"scope":    {injected, "-i 10.77.0.0/24,fd77::/64 -q 443 -b 8080"},
	}
}

// modeLoops are pairs of another kind: what leads connections to the proxy changes, and so do routes.
func modeLoops() map[string][2]string {
	return map[string][2]string{
		"tproxy": {injected, "-u 1337 -m TPROXY -i * -b * -d 15090,15021,15020"},
		"listed": {injected, "--mode listed -p 15001 -z 15001 --pod-ips 10.77.0.2,fd77::2 -u 1337 --listed-outbound 10.77.0.1,fd77::1"},
	}
}

// Clients connect without pause while the plan is written again and again: what both plans capture never escapes and is
// never refused. `make bench AREA=capture` says how long the slowest one takes.
func TestNoConnectionEscapesWhileReapplying(t *testing.T) {
	t.Parallel()
	for name, lines := range leakLoops() {
		t.Run(name, func(t *testing.T) {
			leaks(t, lines, reapplies, outside("10.77.0.1:80", "[fd77::1]:80", "10.77.0.1:443", "[fd77::1]:443"))
		})
	}
}

func TestNoConnectionEscapesWhileModesChange(t *testing.T) {
	t.Parallel()
	loops := modeLoops()
	t.Run("tproxy", func(t *testing.T) {
		clients := append(outside("10.77.0.1:80", "[fd77::1]:80"), client{true, "10.77.0.2:8080", 15006}, client{true, "[fd77::2]:8080", 15006})
		leaks(t, loops["tproxy"], reapplies, clients)
	})
	t.Run("listed", func(t *testing.T) { leaks(t, loops["listed"], reapplies, outside("10.77.0.1:80", "[fd77::1]:80")) })
}

// client connects to an address, and must arrive at a port.
type client struct {
	in  bool // from outside the pod
	dst string
	at  uint16
}

func outside(list ...string) (clients []client) {
	for _, dst := range list {
		clients = append(clients, client{false, dst, 15001})
	}
	return clients
}

// leaks switches between two plans while clients connect.
func leaks(t *testing.T, lines [2]string, times int, clients []client) {
	pod := servedPod(t)
	use := func(line string) {
		pod.Must(t, func() error {
			_, _, err := apply(line)
			return err
		})
	}
	use(lines[0])
	stop := make(chan struct{})
	var tallies []<-chan nstest.Tally
	for _, c := range clients {
		from := pod.Namespace
		if c.in {
			from = pod.Peer
		}
		d := nstest.Dial{UID: 1000, GID: 1000, Dst: netip.MustParseAddrPort(c.dst)}
		tallies = append(tallies, from.Hammer(d, c.at, stop))
	}
	for i := range times {
		use(lines[(i+1)%2])
	}
	close(stop)
	var all nstest.Tally
	for _, tally := range tallies {
		one := <-tally
		if one.Connections == 0 {
			t.Error("a client never connected: the test proves nothing")
		}
		all.Add(one)
	}
	t.Logf("%d connections during %d reapplies, slowest %s", all.Connections, times, all.Slowest)
	if all.Escaped > 0 || all.Failed > 0 {
		t.Errorf("%+v", all)
	}
}
