//go:build linux

package capture_test

import (
	"net/netip"
	"os"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/ipt"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// eachIptables runs a test on both variants; backend is the name evidence has for each.
func eachIptables(t *testing.T, test func(t *testing.T, backend string, apply applier)) {
	for _, variant := range []ipt.Variant{ipt.NFT, ipt.Legacy} {
		t.Run(string(variant), func(t *testing.T) {
			t.Parallel()
			programs, err := ipt.Find(variant, ipt.Dirs())
			if err != nil {
				if os.Getenv("PILLION_REQUIRE_NETNS") != "" {
					t.Fatalf("PILLION_REQUIRE_NETNS is set, but: %v", err)
				}
				t.Skip(err)
			}
			test(t, capture.Iptables+"-"+string(variant), func(line string) (p *plan.Plan, result capture.Result, err error) {
				err = with(func(s capture.System) error {
					if p, err = planOf(line, s.Links); err != nil {
						return err
					}
					s.Rules = ipt.New(programs, text.Pillion, ipt.Outside{Run: ipt.Exec(false), Present: ipt.Present})
					result, err = s.Apply(p, false)
					return err
				})
				return p, result, err
			})
		})
	}
}

// The fallback means the same as nftables, cell by cell.
func TestIptablesDoesWhatEvalSays(t *testing.T) {
	t.Parallel()
	eachIptables(t, func(t *testing.T, _ string, apply applier) { doesWhatEvalSays(t, apply) })
}

// iptablesReapplies are fewer than nftables': each takes several programs.
const iptablesReapplies = 40

// A table of a family is replaced as a whole here too: what both plans capture doesn't escape.
func TestNoConnectionEscapesIptables(t *testing.T) {
	t.Parallel()
	eachIptables(t, func(t *testing.T, _ string, apply applier) {
		pod := servedPod(t)
		lines := leakLoops()["lists"]
		use := func(line string) {
			pod.Must(t, func() error {
				_, _, err := apply(line)
				return err
			})
		}
		use(lines[0])
		stop := make(chan struct{})
		var clients []<-chan nstest.Tally
		for _, dst := range []string{"10.77.0.1:80", "[fd77::1]:80"} {
			d := nstest.Dial{UID: 1000, GID: 1000, Dst: netip.MustParseAddrPort(dst)}
			clients = append(clients, pod.Hammer(d, 15001, stop))
		}
		for i := range iptablesReapplies {
			use(lines[(i+1)%2])
		}
		close(stop)
		var all nstest.Tally
		for _, client := range clients {
			all.Add(<-client)
		}
		t.Logf("%d connections during %d reapplies, slowest %s", all.Connections, iptablesReapplies, all.Slowest)
		if all.Escaped > 0 || all.Failed > 0 || all.Connections == 0 {
			t.Errorf("%+v", all)
		}
	})
}
