//go:build linux

package ipt

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// each runs a test on both variants.
func each(t *testing.T, test func(t *testing.T, variant Variant)) {
	for _, variant := range []Variant{NFT, Legacy} {
		t.Run(string(variant), func(t *testing.T) {
			if _, err := Find(variant, Dirs()); err != nil {
				if os.Getenv("PILLION_REQUIRE_NETNS") != "" {
					t.Fatalf("PILLION_REQUIRE_NETNS is set, but: %v", err)
				}
				t.Skip(err)
			}
			test(t, variant)
		})
	}
}

func backend(variant Variant, dialect text.Dialect) *Backend {
	programs, err := Find(variant, Dirs())
	if err != nil {
		panic(err)
	}
	return New(programs, dialect, Outside{Run: Exec(false), Present: Present})
}

// tool runs iptables or ip6tables of the variant in the calling thread's namespace.
func tool(variant Variant, v6 bool, args ...string) (string, error) {
	out, err := exec.Command(program(v6)+"-"+string(variant), args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w: %s", program(v6), args, err, out)
	}
	return string(out), nil
}

func listing(variant Variant, v6 bool) (string, error) { return tool(variant, v6, "-t", "nat", "-S") }

// converge compares and replaces until nothing differs, and says how often it wrote.
func converge(b *Backend, want *plan.Ruleset) (writes int, err error) {
	for {
		report, err := b.Compare(want, "")
		if err != nil || len(report.Differences) == 0 {
			return writes, err
		}
		if writes == 3 {
			return writes, fmt.Errorf("still %v", report.Differences)
		}
		if err := b.Replace(want, ""); err != nil {
			return writes, err
		}
		writes++
	}
}

// rules are those of a command line; words with '=' at its start are environment variables, in which _ is a blank.
func rules(t *testing.T, line string, families plan.Families) *plan.Ruleset {
	t.Helper()
	args, env := strings.Fields(line), plan.Environment{Vars: map[string]string{}, Resolvers: resolvers}
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, value, _ := strings.Cut(args[0], "=")
		env.Vars[name], args = strings.ReplaceAll(value, "_", " "), args[1:]
	}
	c, err := plan.Parse(args, env)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := plan.New(c.Options, families)
	if err != nil {
		t.Fatal(err)
	}
	return p.Rules()
}

func resolvers() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("10.96.0.11"), netip.MustParseAddr("fd96::a")}
}

const listed = "--mode listed -u 1000 -p 15001 -z 15001 --dns-port 55354 --redirect-dns --capture-all-dns --pod-ips 9.77.7.28"

const injected = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020"

// what others put there: rules of a network plugin.
var foreign = [][]string{
	{"-t", "nat", "-A", "PREROUTING", "-s", "169.254.1.1/32", "-i", "veth1", "-m", "comment", "--comment", "yangtse PREROUTING rules", "-j", "RETURN"},
	{"-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-m", "comment", "--comment", "yangtse SNAT rules", "-j", "MASQUERADE", "--random"},
}

func addForeign(variant Variant) error {
	for _, args := range foreign {
		if _, err := tool(variant, false, args...); err != nil {
			return err
		}
	}
	return nil
}

// The listing of an Istio 1.8 sidecar with a network plugin's rules is reproduced byte for byte, run after run.
func TestIstio18Listing(t *testing.T) {
	want, err := os.ReadFile("testdata/istio-1.8.txt")
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, variant Variant) {
		ns := nstest.New(t)
		ns.Must(t, func() error {
			if err := addForeign(variant); err != nil {
				return err
			}
			before, err := listing(variant, false)
			if err != nil {
				return err
			}
			r := rules(t, "-i * -b * -u 1337 -d 22,15090,15021,15020", plan.Families{V4: true})
			for run := range 10 {
				writes, err := converge(backend(variant, text.Istio18), r)
				if err != nil {
					return err
				}
				if (run == 0) != (writes == 1) {
					t.Errorf("run %d wrote %d times", run+1, writes)
				}
				got, err := listing(variant, false)
				if err != nil {
					return err
				}
				if d := cmp.Diff(string(want), got); d != "" {
					t.Fatalf("run %d: %s", run+1, d)
				}
			}
			if _, err := converge(backend(variant, text.Istio18), &plan.Ruleset{}); err != nil {
				return err
			}
			after, err := listing(variant, false)
			if d := cmp.Diff(before, after); d != "" {
				t.Errorf("after clean: %s", d)
			}
			return err
		})
	})
}

// What every dialect writes comes back from the kernel as it was said, in both families.
func TestListingsSurviveTheKernel(t *testing.T) {
	lines := map[string]text.Dialect{
		injected: text.Istio,
		"-u 1337 -g 1338 -i 10.9.0.0/16,10.2.0.0/16 -x 10.9.1.0/24,10.2.3.4 -q 443,80 -o 7,6 -b 9001,80": text.Istio,
		injected + " ": text.Pillion,
		injected + " -x 10.99.0.0/16,10.98.0.1,fd99::/64 -o 9000-9010,53 -c eth1,eth7 --exclude-outbound-uids 0,106-108 --exclude-inbound-ip-ranges 10.78.0.0/24,fd78::/64": text.Pillion,
		"-u 1337,1338,2000 -g 1337 -i 10.77.0.0/24,fd77::/64 -q 443,8443 -b 1,3,5,7,9,11,13,15,17,19,21,23,25,27-28,30":                                                     text.Pillion,
		"-i 127.0.0.0/8,10.0.0.0/8": text.Pillion,
		injected + " --redirect-dns --drop-invalid -o 9000 --proxy-mark 0x539/0xfff":                                                                        text.Pillion,
		"ISTIO_OUTBOUND_OWNER_GROUPS=2000,2001,3000 ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=7 " + injected + " --redirect-dns --capture-all-dns --proxy-mark 7": text.Pillion,
		"PILLION_CAPTURE_BYPASS=out_tcp_port_9000-9100_to_10.0.0.0/8_uid_106-108_because_backups " + injected:                                               text.Pillion,
		injected + " --redirect-dns":                                                                                            text.Istio,
		injected + " --redirect-dns --capture-all-dns":                                                                          text.Istio,
		"ISTIO_OUTBOUND_OWNER_GROUPS=2000,3000 ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=7 " + injected:                               text.Istio,
		listed + ",fd00::7 --listed-inbound 9.77.7.28:8089,9.77.7.28:9090,[fd00::7]:80 --listed-outbound 240.0.0.10,240.0.0.11": text.Pillion,
		listed + ",fd00::7 --listed-inbound 9.77.7.28:8089 --listed-outbound 240.0.0.10,fd00::9":                                text.TSF,
		injected + " -m TPROXY --drop-invalid -c eth1":                                                                          text.Pillion,
	}
	each(t, func(t *testing.T, variant Variant) {
		for line, dialect := range lines {
			ns := nstest.New(t)
			ns.Must(t, func() error {
				r := rules(t, line, plan.Families{V4: true, V6: true})
				if _, err := converge(backend(variant, dialect), r); err != nil {
					return err
				}
				files, err := text.Files(r.Plan, dialect)
				if err != nil {
					return err
				}
				for _, f := range files {
					for _, table := range f.Tables {
						got, err := tool(variant, f.V6, "-t", table.Name, "-S")
						if err != nil {
							return err
						}
						if d := cmp.Diff(table.List(), got); d != "" {
							t.Errorf("%s, %s: %s", dialect, line, d)
						}
					}
				}
				return nil
			})
		}
	})
}

// What is only shown is spelled as iptables would list it, too.
func TestShownSurvivesTheKernel(t *testing.T) {
	each(t, func(t *testing.T, variant Variant) {
		for _, line := range []string{injected + " -m TPROXY -c eth1", "-m TPROXY -b 80,9001 -i * -t 7", "-b * -i 10.9.0.0/16,10.2.0.0/16,fd77::/64 -k virt0,virt1 -c eth1,eth7"} {
			ns := nstest.New(t)
			ns.Must(t, func() error {
				files, err := text.Shown(rules(t, line, plan.Families{V4: true, V6: true}).Plan, text.Istio)
				if err != nil {
					return err
				}
				for _, f := range files {
					if err := restored(variant, f); err != nil {
						return err
					}
					for _, table := range f.Tables {
						got, err := tool(variant, f.V6, "-t", table.Name, "-S")
						if err != nil {
							return err
						}
						if d := cmp.Diff(table.List(), got); d != "" {
							t.Errorf("%s: %s", line, d)
						}
					}
				}
				return nil
			})
		}
	})
}

// restored gives a file to iptables-restore, or ip6tables-restore, as somebody would who took it from explain.
func restored(variant Variant, f text.File) error {
	cmd := exec.Command(program(f.V6)+"-"+string(variant)+"-restore", "--noflush")
	cmd.Stdin = strings.NewReader(text.RestoreText([]text.File{f}))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd.Args, err, out)
	}
	return nil
}

// From any plan and dialect to any other: the end is what a fresh namespace would hold.
func TestConvergesFromAnyOther(t *testing.T) {
	t.Parallel()
	type step struct {
		line    string
		dialect text.Dialect
		v4, v6  bool
	}
	steps := []step{
		{injected + " -m TPROXY", text.Pillion, true, true}, {injected + " --redirect-dns --drop-invalid", text.Pillion, true, true},
		{injected, text.Istio18, true, true}, {injected, text.Istio, true, true}, {injected, text.Pillion, true, false},
		{"-i 10.0.0.0/8 -b 80", text.Pillion, false, true}, {injected, text.Pillion, true, true}, {"-b 80", text.Istio, true, false},
		{injected + " -x 10.1.0.0/16", text.Pillion, true, true}, {"-m NONE", text.Pillion, true, true}, {injected, text.Istio18, true, true},
	}
	each(t, func(t *testing.T, variant Variant) {
		used := nstest.New(t)
		for _, s := range steps {
			r := rules(t, s.line, plan.Families{V4: s.v4, V6: s.v6})
			lists := func() (list string, err error) {
				_, err = converge(backend(variant, s.dialect), r)
				for _, v6 := range []bool{false, true} {
					part, failed := listing(variant, v6)
					if failed != nil {
						return "", failed
					}
					list += part
				}
				return list, err
			}
			var want string
			nstest.New(t).Must(t, func() (err error) { want, err = lists(); return err })
			used.Must(t, func() error {
				got, err := lists()
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%+v: %s", s, d)
				}
				return err
			})
		}
	})
}

// The listing of TSF Mesh is reproduced byte for byte.
func TestTSFListing(t *testing.T) {
	want, err := os.ReadFile("testdata/tsf.txt")
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, variant Variant) {
		ns := nstest.New(t)
		ns.Must(t, func() error {
			r := rules(t, listed+" --listed-inbound 9.77.7.28:8089 --listed-outbound 240.0.0.10", plan.Families{V4: true})
			for range 2 {
				if _, err := converge(backend(variant, text.TSF), r); err != nil {
					return err
				}
				got, err := listing(variant, false)
				if d := cmp.Diff(string(want), got); d != "" || err != nil {
					t.Errorf("%s %v", d, err)
				}
			}
			return nil
		})
	})
}

// What live sets hold is kept by an apply that says otherwise, also if it is nothing; first contents are for sets that
// aren't there yet.
func TestLiveSetsAreKept(t *testing.T) {
	each(t, func(t *testing.T, variant Variant) {
		ns := nstest.New(t)
		ns.Must(t, func() error {
			families := plan.Families{V4: true}
			if _, err := converge(backend(variant, text.Pillion), rules(t, injected, families)); err != nil {
				return err
			}
			expect := func(line string, writes int, want string) error {
				wrote, err := converge(backend(variant, text.Pillion), rules(t, line, families))
				if wrote != writes {
					t.Errorf("%s: %d writes, want %d", line, wrote, writes)
				}
				text, failed := listing(variant, false)
				var got []string
				for l := range strings.Lines(text) {
					if strings.Contains(l, "capture.listed4") {
						_, l, _ = strings.Cut(l, "-d ")
						got = append(got, strings.Fields(l)[0])
					}
				}
				if strings.Join(got, " ") != want {
					t.Errorf("%s: %v is listed, want %s", line, got, want)
				}
				return errors.Join(err, failed)
			}
			first := " --listed-inbound 9.77.7.28:80,9.77.7.29:81"
			return errors.Join(
				expect(listed+first, 1, "9.77.7.28/32 9.77.7.29/32"),
				expect(listed+" --listed-inbound 9.77.7.30:80", 0, "9.77.7.28/32 9.77.7.29/32"),
				expect(listed+" --drop-invalid", 1, "9.77.7.28/32 9.77.7.29/32"),
				expect(injected, 1, ""),
				expect(listed, 1, ""),
				expect(listed+first, 0, ""),
			)
		})
	})
}

// Elements are added and removed one by one, in both families; sets that aren't there are told.
func TestLiveElements(t *testing.T) {
	each(t, func(t *testing.T, variant Variant) {
		ns := nstest.New(t)
		ns.Must(t, func() error {
			b := backend(variant, text.Pillion)
			all := listed + ",fd00::7"
			r := rules(t, all+" --listed-inbound 9.77.7.28:80", plan.Families{V4: true, V6: true})
			if err := b.AddElements(plan.SetVIP4, nil); !errors.Is(err, nft.ErrNoLiveSet) {
				t.Errorf("before Compare: %v", err)
			}
			if _, err := converge(b, r); err != nil {
				return err
			}
			a := plan.Element{Addr: netip.MustParseAddr("240.0.0.7")}
			six := plan.Element{Addr: netip.MustParseAddr("fd00::9"), Port: 8080}
			first := plan.Element{Addr: netip.MustParseAddr("9.77.7.28"), Port: 80}
			holds := func(v4, v6 string) {
				t.Helper()
				for want, got := range map[string]func() (string, error){v4: func() (string, error) { return listing(variant, false) }, v6: func() (string, error) { return listing(variant, true) }} {
					text, err := got()
					var elements []string
					for line := range strings.Lines(text) {
						if f := strings.Fields(line); strings.Contains(line, "capture.") {
							elements = append(elements, f[3])
						}
					}
					if got := strings.Join(elements, " "); got != want || err != nil {
						t.Errorf("%q is listed, want %q; %v", got, want, err)
					}
				}
			}
			if err := errors.Join(b.AddElements(plan.SetVIP4, []plan.Element{a}), b.AddElements(plan.SetVIP4, []plan.Element{a}), b.AddElements(plan.SetIn6, []plan.Element{six})); err != nil {
				return err
			}
			holds("9.77.7.28/32 240.0.0.7/32", "fd00::9/128")
			if writes, err := converge(backend(variant, text.Pillion), r); writes != 0 || err != nil {
				t.Errorf("an apply wrote %d times: %v", writes, err)
			}
			if err := b.RemoveElements(map[string][]plan.Element{plan.SetVIP4: {a, {Addr: netip.MustParseAddr("240.0.0.8")}}, plan.SetIn4: {first}}); err != nil {
				return err
			}
			holds("", "fd00::9/128")
			if _, err := converge(b, rules(t, injected, plan.Families{V4: true})); err != nil {
				return err
			}
			if err := b.AddElements(plan.SetVIP4, []plan.Element{a}); !errors.Is(err, nft.ErrNoLiveSet) {
				t.Errorf("in mode all: %v", err)
			}
			return nil
		})
	})
}

// Late arming: nothing is captured until a protocol is armed; an apply keeps what is, also of a plan with other rules.
func TestLateArming(t *testing.T) {
	each(t, func(t *testing.T, variant Variant) {
		pod := nstest.NewPod(t)
		pod.Serve(t, 15001)
		pod.Peer.Serve(t, 80)
		pod.Must(t, func() error {
			families := plan.Families{V4: true, V6: true}
			late := injected + " --arming late --redirect-dns"
			b := backend(variant, text.Pillion)
			expect := func(when string, want uint16) {
				for _, dst := range []string{"10.77.0.1:80", "[fd77::1]:80"} {
					got, err := nstest.Connect(nstest.Dial{UID: 1000, GID: 1000, Dst: addrPort(dst)})
					if got.Port != want || err != nil {
						t.Errorf("%s: %s arrived at %d, want %d; %v", when, dst, got.Port, want, err)
					}
				}
			}
			use := func(line string, writes int) error {
				wrote, err := converge(b, rules(t, line, families))
				if wrote != writes {
					t.Errorf("%s: %d writes, want %d", line, wrote, writes)
				}
				return err
			}
			armed := []plan.Element{{Proto: plan.TCP}, {Proto: plan.UDP}}
			if err := use(late, 1); err != nil {
				return err
			}
			expect("disarmed", 80)
			if err := b.AddElements(plan.SetArmed, armed); err != nil {
				return err
			}
			expect("armed", 15001)
			if err := errors.Join(use(late, 0), use(late+" -x 10.99.0.0/16", 1)); err != nil {
				return err
			}
			expect("armed, after an apply", 15001)
			if err := b.RemoveElements(map[string][]plan.Element{plan.SetArmed: armed}); err != nil {
				return err
			}
			expect("disarmed again", 80)
			if err := use(late+" -x 10.99.0.0/16", 0); err != nil {
				return err
			}
			err := errors.Join(use(injected, 1), use(late, 1))
			expect("late after early", 80)
			if _, marked, failed := b.Leftovers(); !marked {
				t.Errorf("nobody knows the rules for ours while they're disarmed: %v", failed)
			}
			return err
		})
	})
}

// Counters go on from where they were when rules are written again.
func TestCountersAreCarriedOver(t *testing.T) {
	each(t, func(t *testing.T, variant Variant) {
		pod := nstest.NewPod(t)
		pod.Serve(t, 15001)
		pod.Must(t, func() error {
			r := rules(t, injected, plan.Families{V4: true})
			b := backend(variant, text.Pillion)
			if _, err := converge(b, r); err != nil {
				return err
			}
			for range 3 {
				if _, err := nstest.Connect(nstest.Dial{UID: 1000, GID: 1000, Dst: addrPort("10.77.0.1:80")}); err != nil {
					return err
				}
			}
			r = rules(t, injected+" -x 10.99.0.0/16 -o 9000", plan.Families{V4: true})
			if writes, err := converge(b, r); err != nil || writes != 1 {
				return fmt.Errorf("%d writes: %w", writes, err)
			}
			report, err := b.Compare(r, "")
			if n := report.Counters["output.capture.all"].Packets; n != 3 {
				t.Errorf("%d connections counted, want 3: %v", n, report.Counters)
			}
			if n := report.Counters["output.jump"].Packets; n != 3 {
				t.Errorf("%d connections counted at the jump, want 3", n)
			}
			return err
		})
	})
}

// Every single rule is missed, every surplus one seen, whatever chain it is in; and one more run repairs it.
func TestEveryMutationIsSeen(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, variant Variant) {
		for _, dialect := range []text.Dialect{text.Pillion, text.Istio, text.Istio18} {
			ns := nstest.New(t)
			ns.Must(t, func() error {
				r := rules(t, injected, plan.Families{V4: true})
				if _, err := converge(backend(variant, dialect), r); err != nil {
					return err
				}
				files, err := text.Files(r.Plan, dialect)
				if err != nil {
					return err
				}
				for _, c := range files[0].Tables[0].Chains {
					for i, rule := range c.Rules {
						if err := mutate(t, variant, dialect, r, c.Name, i+1, rule); err != nil {
							return err
						}
						if err := swap(t, variant, dialect, r, c, i); err != nil {
							return err
						}
					}
				}
				return nil
			})
		}
	})
}

// swap puts a rule before the one it follows.
func swap(t *testing.T, variant Variant, dialect text.Dialect, r *plan.Ruleset, c text.Chain, i int) error {
	if i == 0 {
		return nil
	}
	for _, args := range [][]string{{"-D", c.Name, fmt.Sprint(i + 1)}, append([]string{"-I", c.Name, fmt.Sprint(i)}, words(c.Rules[i].Spec)...)} {
		if _, err := tool(variant, false, append([]string{"-t", "nat"}, args...)...); err != nil {
			return err
		}
	}
	b := backend(variant, dialect)
	report, err := b.Compare(r, "")
	if len(report.Differences) == 0 || !strings.Contains(fmt.Sprint(report.Differences), "moved") {
		t.Errorf("%s: that %s stands before its neighbour wasn't seen: %v", dialect, c.Rules[i].Spec, report.Differences)
	}
	if err != nil {
		return err
	}
	_, err = converge(b, r)
	return err
}

// mutate deletes a rule, doubles it, and puts another in its place.
func mutate(t *testing.T, variant Variant, dialect text.Dialect, r *plan.Ruleset, chain string, place int, rule text.Rule) error {
	at, target := fmt.Sprint(place), "ISTIO_REDIRECT"
	if chain == target {
		target = "RETURN" // no loops
	}
	for _, change := range [][]string{
		{"-D", chain, at}, {"-I", chain, at, "-p", "tcp", "-m", "tcp", "--dport", "1", "-j", target}, {"-R", chain, at, "-p", "udp", "-j", target},
	} {
		if _, err := tool(variant, false, append([]string{"-t", "nat"}, change...)...); err != nil {
			return err
		}
		b := backend(variant, dialect)
		report, err := b.Compare(r, "")
		if err != nil {
			return err
		}
		if len(report.Differences) == 0 {
			t.Errorf("%s: %v in %s wasn't seen", dialect, change, rule.Spec)
		}
		if change[0] != "-I" && !strings.Contains(fmt.Sprint(report.Differences), "rule "+rule.ID) {
			t.Errorf("%s: %v: %s isn't named: %v", dialect, change, rule.ID, report.Differences)
		}
		if writes, err := converge(b, r); err != nil || writes != 1 {
			return fmt.Errorf("%v: %d writes: %w", change, writes, err)
		}
	}
	return nil
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
