//go:build linux

package capture_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// everything makes every rule there is.
const everything = injected + " -x 10.99.0.0/16,10.0.0.0/25,10.0.0.128/25,255.255.255.255,fd99::/64 -o 9000-9010,65535 -c eth1,eth7 --exclude-outbound-uids 0,106-108 --exclude-inbound-ip-ranges 10.78.0.0/24,fd78::/64"

// listed makes the rules for lists, which everything has no room for.
const listed = "-u 1337 -g 1337 -i 10.77.0.0/24,fd77::/64 -q 443 -b 8080,9000-9010"

// features are command lines that together make every kind of rule.
func features() []string {
	return []string{everything, listed, marked, owned, dnsServers, dnsAll, registered, diverted, divertedSome, nested, nestedDiverted, nestedListed, late}
}

// listRuleset is what nft says of the calling thread's namespace.
func listRuleset() (string, error) {
	text, err := exec.Command("nft", "-s", "list", "ruleset").CombinedOutput() // -s: without counts
	if err != nil {
		return "", fmt.Errorf("nft list ruleset: %w: %s", err, text)
	}
	return string(text), nil
}

func needNft(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		if os.Getenv("PILLION_REQUIRE_NETNS") != "" {
			t.Fatal("PILLION_REQUIRE_NETNS is set, but nft isn't installed")
		}
		t.Skip("nft isn't installed")
	}
}

// load gives text to nft in the calling thread's namespace.
func load(text string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft -f: %w: %s", err, out)
	}
	return nil
}

// What we program by netlink, what our text says, and what nft makes of either are the same rules.
func TestNftListsAndLoadsWhatWeProgram(t *testing.T) {
	needNft(t)
	for _, line := range append(features(), injected, injected+" --ip-families ipv4", injected+" --ip-families ipv6", "-i 127.0.0.0/8,10.0.0.0/8 -b 80") {
		t.Run(line, func(t *testing.T) {
			ours, theirs, again := nstest.New(t), nstest.New(t), nstest.New(t)
			var p *plan.Plan
			var programmed, fromText, reloaded string
			ours.Must(t, func() (err error) {
				if p, _, err = apply(line); err != nil {
					return err
				}
				programmed, err = listRuleset()
				return err
			})
			about := "pillion test backend=nftables plan=" + p.Fingerprint()
			theirs.Must(t, func() (err error) {
				if err = load(p.Rules().Text(about)); err == nil {
					fromText, err = listRuleset()
				}
				return err
			})
			again.Must(t, func() (err error) {
				if err = load(programmed); err == nil {
					reloaded, err = listRuleset()
				}
				return err
			})
			if d := cmp.Diff(sorted(programmed), sorted(fromText)); d != "" {
				t.Errorf("netlink (-) and our text through nft (+) differ:\n%s", d)
			}
			if d := cmp.Diff(programmed, reloaded); d != "" {
				t.Errorf("nft doesn't load back what it lists:\n%s", d)
			}
			again.Must(t, func() error { return with(func(s capture.System) error { return noDifference(s, p) }) })
		})
	}
}

// sorted puts chains and sets in one order: nft lists them as they were made.
func sorted(ruleset string) map[string]string {
	blocks := map[string]string{}
	for block := range strings.SplitSeq(ruleset, "\n\n") {
		head, body, _ := strings.Cut(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(block, "table inet pillion {")), "}\n}")), "\n")
		blocks[strings.TrimSpace(head)] = strings.Trim(body, "}\n\t ")
	}
	return blocks
}

func noDifference(s capture.System, p *plan.Plan) error {
	differences, _, err := s.Diff(p)
	for _, d := range differences {
		kind, _, _ := strings.Cut(d.What, " ")
		if !slices.Contains([]string{"address", "policy", "route"}, kind) { // nft carries rules alone
			err = errors.Join(err, errors.New(d.String()))
		}
	}
	return err
}

func TestSecondRunWritesNothingAndCountersSurvive(t *testing.T) {
	pod := servedPod(t)
	count := func(line string) (capture.Result, uint64) {
		var result capture.Result
		pod.Must(t, func() (err error) {
			_, result, err = apply(line)
			return err
		})
		return result, result.Counters["output.capture.all"].Packets
	}
	if result, _ := count(injected); result.Changed == 0 {
		t.Fatal("the first run says it changed nothing")
	}
	for range 3 {
		pod.Must(t, func() error {
			_, err := nstest.Connect(nstest.Dial{UID: 1000, Dst: addrPort("10.77.0.1:80")})
			return err
		})
	}
	result, packets := count(injected)
	if result.Changed != 0 || packets != 3 {
		t.Errorf("second run: %d changes and %d counted connections, want 0 and 3", result.Changed, packets)
	}
	// Another plan keeps the counter of a rule both have, and the namespace ends as if it were the first one there.
	result, packets = count(everything)
	if result.Changed == 0 || packets != 3 {
		t.Errorf("another plan: %d changes and %d counted connections, want some and 3", result.Changed, packets)
	}
}

// However a namespace came to a plan, it ends in what a fresh one would hold.
func TestEveryHistoryEndsAsAFreshApply(t *testing.T) {
	t.Parallel()
	needNft(t)
	lines := append(features(), injected, injected+" --ip-families ipv4", "-m NONE -i * -b *")
	for _, last := range lines {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			want, got := stateAfter(t, last), stateAfter(t, append(slices.Clone(lines), last)...)
			if d := cmp.Diff(sorted(want), sorted(got)); d != "" {
				t.Errorf("fresh (-) and used (+) namespace differ:\n%s", d)
			}
		})
	}
}

// stateAfter is what a new pod holds once these were applied to it.
func stateAfter(t *testing.T, lines ...string) (text string) {
	pod := nstest.NewPod(t)
	pod.Must(t, func() (err error) {
		for _, line := range lines {
			if _, _, err = apply(line); err != nil {
				return err
			}
		}
		text, err = listRuleset()
		return err
	})
	return text + addresses(t, pod)
}

func addresses(t *testing.T, pod *nstest.Pod) (text string) {
	pod.Must(t, func() error {
		return with(func(s capture.System) error {
			list, err := s.Links.Addresses()
			for _, a := range list {
				if !a.IsLinkLocalUnicast() { // made from a random hardware address
					text += fmt.Sprintln(a)
				}
			}
			return err
		})
	})
	return text
}

const foreignRules = `table inet other {
	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport 9999 drop
	}
}
table ip nat {
	chain OUTPUT {
		type nat hook output priority -100; policy accept;
		tcp dport 7777 redirect to :7778
	}
}
`

func TestForeignRulesStayAndAreNamed(t *testing.T) {
	needNft(t)
	ns := nstest.New(t)
	var before, after string
	var result capture.Result
	ns.Must(t, func() (err error) {
		if err = load(foreignRules); err != nil {
			return err
		}
		if before, err = listRuleset(); err != nil {
			return err
		}
		if _, result, err = apply(injected); err != nil {
			return err
		}
		if err = with(func(s capture.System) error { _, err := s.Clean(); return err }); err != nil {
			return err
		}
		after, err = listRuleset()
		return err
	})
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("apply and clean changed others' rules:\n%s", d)
	}
	if d := cmp.Diff([]string{"ip nat OUTPUT"}, result.Foreign); d != "" {
		t.Errorf("foreign: %s", d)
	}
}

func TestCleanLeavesTheNamespaceAsItWas(t *testing.T) {
	needNft(t)
	pod := nstest.NewPod(t)
	before := addresses(t, pod)
	var left string
	var again capture.Result
	pod.Must(t, func() (err error) {
		if _, _, err = apply(everything); err != nil {
			return err
		}
		err = with(func(s capture.System) error {
			result, err := s.Clean()
			if err == nil && result.Changed == 0 {
				err = errors.New("clean says it changed nothing")
			}
			if err == nil {
				again, err = s.Clean()
			}
			return err
		})
		if err == nil {
			left, err = listRuleset()
		}
		return err
	})
	if left != "" || again.Changed != 0 {
		t.Errorf("clean left %q; a second clean changed %d", left, again.Changed)
	}
	if d := cmp.Diff(before, addresses(t, pod)); d != "" {
		t.Errorf("addresses before (-) and after (+):\n%s", d)
	}
}

func TestAddressOfThePassthroughIsPartOfThePlan(t *testing.T) {
	pod := nstest.NewPod(t)
	pod.Must(t, func() error {
		p, _, err := apply(injected)
		if err != nil {
			return err
		}
		return with(func(s capture.System) error {
			if err := s.Links.RemoveFromLoopback(prefix("::6/128")); err != nil {
				return err
			}
			differences, _, err := s.Diff(p)
			if len(differences) != 1 || differences[0].String() != "missing address ::6/128 on lo" {
				t.Errorf("without ::6: %v", differences)
			}
			return err
		})
	})
}

// A list of 4096 prefixes fits into one transaction.
func TestLongestList(t *testing.T) {
	ns := nstest.New(t)
	var list []string
	for i := range 4096 {
		list = append(list, fmt.Sprintf("10.%d.%d.0/26", i/128, i%128*2))
	}
	ns.Must(t, func() error {
		if _, _, err := apply(injected + " -x " + strings.Join(list, ",")); err != nil {
			return err
		}
		_, result, err := apply(injected + " -x " + strings.Join(list, ","))
		if result.Changed != 0 {
			t.Errorf("the second run changed %d", result.Changed)
		}
		return err
	})
}

// Two runs at once converge too: neither leaves a table with rules twice.
func TestConcurrentRunsConverge(t *testing.T) {
	ns := nstest.New(t)
	var runs []<-chan error
	for range 4 {
		runs = append(runs, ns.Thread(func() error {
			_, _, err := apply(everything)
			return err
		}))
	}
	for _, run := range runs {
		if err := <-run; err != nil {
			t.Error(err)
		}
	}
	ns.Must(t, func() error {
		return with(func(s capture.System) error {
			p, err := planOf(everything, s.Links)
			return errors.Join(err, noDifference(s, p))
		})
	})
}

func TestNamespaceByPath(t *testing.T) {
	ns, elsewhere := nstest.New(t), nstest.New(t)
	elsewhere.Must(t, func() error {
		return capture.In(ns.Path(), func() error {
			_, _, err := apply(injected)
			return err
		})
	})
	ns.Must(t, func() error {
		return with(func(s capture.System) error {
			p, err := planOf(injected, s.Links)
			return errors.Join(err, noDifference(s, p))
		})
	})
	elsewhere.Must(t, func() error {
		return with(func(s capture.System) error {
			result, err := s.Clean()
			if result.Changed != 0 {
				t.Error("the rules went into the namespace we were in")
			}
			return err
		})
	})
	if err := capture.In(filepath.Join(t.TempDir(), "none"), func() error { return nil }); err == nil {
		t.Error("a namespace that doesn't exist was entered")
	}
}

// A panic in the middle of a test leaves nothing: the namespace ends with its thread.
func TestPanicLeavesNothing(t *testing.T) {
	var err error
	t.Run("panicking", func(t *testing.T) {
		ns := nstest.New(t)
		err = ns.Do(func() error {
			if _, _, err := apply(injected); err != nil {
				return err
			}
			panic("on purpose")
		})
	})
	if err == nil || !strings.Contains(err.Error(), "on purpose") {
		t.Errorf("got %v", err)
	}
}

var _ capture.Backend = (*nft.Backend)(nil)
