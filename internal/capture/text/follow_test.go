package text

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// packets are all that could matter to the plans below: pure, so there can be many.
func packets() (all []plan.Packet) {
	owners := []*plan.Owner{nil, {}, {UID: 1000, GID: 1000}, {UID: 1337, GID: 1337}, {UID: 1338, GID: 5}, {UID: 1000, GID: 1337}, {UID: 107, GID: 7}, {UID: 8, GID: 3000}}
	addrs := []string{"10.77.0.2", "10.99.0.1", "10.98.0.1", "10.96.0.10", "127.0.0.1", "127.0.0.2", "fd77::2", "fd99::1", "fd96::a", "::1", "9.77.7.28", "240.0.0.10"}
	sources := map[bool][]string{true: {"10.77.0.2", "127.0.0.6", "10.78.0.5"}, false: {"fd77::2", "::6", "fd78::5"}}
	for _, dst := range addrs {
		to := netip.MustParseAddr(dst)
		for _, src := range sources[to.Is4()] {
			for _, port := range []uint16{53, 80, 443, 7, 8089, 9005, 15008, 15020, 15021, 15090} {
				for _, iface := range []string{"eth0", "lo", "eth1"} {
					for _, proto := range []uint8{plan.TCP, plan.UDP} {
						p := plan.Packet{Proto: proto, Src: netip.AddrPortFrom(netip.MustParseAddr(src), 40000), Dst: netip.AddrPortFrom(to, port)}
						p.Hook, p.In = plan.Prerouting, iface
						all = append(all, p)
						p.Hook, p.In, p.Out = plan.Output, "", iface
						for _, p.Owner = range owners {
							all = append(all, p)
						}
						p.Mark = 0x1ff
						all = append(all, p)
					}
				}
			}
		}
	}
	return all
}

// sample keeps the test short; it has no divisor in common with the lists above.
const sample = 17

// What the pillion dialect writes means what Eval says the plan means, packet by packet.
func TestPillionMeansThePlan(t *testing.T) {
	for _, line := range []string{
		injected,
		injected + " -x 10.99.0.0/16,10.98.0.1,fd99::/64 -o 9000-9010,7 -c eth1,eth7 --exclude-outbound-uids 0,106-108 --exclude-inbound-ip-ranges 10.78.0.0/24,fd78::/64",
		"-u 1337,1338,2000 -g 1337 -i 10.77.0.0/24,fd77::/64 -q 443,8443 -b 1,3,5,7,9,11,13,15,17,19,21,23,25,27-28,80",
		"-i 127.0.0.0/8,10.0.0.0/8",
		"-i ::1,10.0.0.0/8 -b *",
		injected + " --redirect-dns -o 9000",
		injected + " --redirect-dns --capture-all-dns --proxy-mark 0x100/0xff00",
		injected + " -m TPROXY",
		injected + " --arming late",
		injected + " --arming late ", // armed for TCP, below
		injected + " -k eth1 -x 10.99.0.0/16",
		listed + ",fd00::7 --listed-inbound 9.77.7.28:8089,[fd77::2]:80 --listed-outbound 240.0.0.10,fd99::1",
	} {
		p := planOf(t, line, dual())
		if strings.HasSuffix(line, " ") {
			p.First.Armed = []plan.Element{{Proto: plan.TCP}}
		}
		files, err := Files(p, Pillion)
		if err != nil {
			t.Fatal(err)
		}
		verdicts := map[plan.Verdict]int{}
		for i, packet := range packets() {
			if i%sample != 0 || p.In.Via == plan.TProxy && packet.Hook == plan.Prerouting {
				continue // that isn't nat
			}
			trace := p.Eval(packet)
			verdicts[trace.Verdict]++
			file := files[0]
			if packet.Dst.Addr().Is6() {
				file = files[1]
			}
			way, err := file.Follow(packet)
			if err != nil {
				t.Fatal(err)
			}
			captured := way.Target == "REDIRECT" || way.Target == "DNAT"
			if captured != (trace.Verdict != plan.VerdictLeft) || captured && way.Port != trace.Port {
				t.Fatalf("%s: %+v: Eval says %s to %d by %s, the rules %+v", line, packet, trace.Verdict, trace.Port, trace.Decided, way)
			}
		}
		if len(verdicts) < 2 && !strings.HasSuffix(line, "late") {
			t.Errorf("%s: all packets are %v: this proves nothing", line, verdicts)
		}
	}
}

func TestFollowIstio(t *testing.T) {
	files, err := Files(planOf(t, injected, v4()), Istio)
	if err != nil {
		t.Fatal(err)
	}
	dst := netip.MustParseAddrPort("10.9.3.4:443")
	proxy := &plan.Owner{UID: 1337, GID: 1337}
	for want, p := range map[Way]plan.Packet{
		{"ISTIO_OUTPUT 9", "REDIRECT", 15001}:  {Hook: plan.Output, Proto: plan.TCP, Src: dst, Dst: dst, Out: "eth0", Owner: &plan.Owner{UID: 5, GID: 5}},
		{"ISTIO_OUTPUT 4", "RETURN", 0}:        {Hook: plan.Output, Proto: plan.TCP, Src: dst, Dst: dst, Out: "eth0", Owner: proxy},
		{"ISTIO_OUTPUT 2", "REDIRECT", 15006}:  {Hook: plan.Output, Proto: plan.TCP, Src: dst, Dst: dst, Out: "lo", Owner: proxy},
		{"ISTIO_OUTPUT 3", "RETURN", 0}:        {Hook: plan.Output, Proto: plan.TCP, Src: dst, Dst: dst, Out: "lo", Owner: &plan.Owner{UID: 1338, GID: 1337}}, // Istio's fault: the hairpin is lost
		{"ISTIO_INBOUND 5", "REDIRECT", 15006}: {Hook: plan.Prerouting, Proto: plan.TCP, Src: dst, Dst: dst, In: "eth0"},
		{}:                                     {Hook: plan.Prerouting, Proto: plan.UDP, Src: dst, Dst: dst, In: "eth0"},
	} {
		if got, err := files[0].Follow(p); got != want || err != nil {
			t.Errorf("%+v: %+v, %v; want %+v", p, got, err, want)
		}
	}
}
