//go:build linux

package capture

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/ipt"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

func needIptables(t *testing.T) {
	_, nft := ipt.Find(ipt.NFT, ipt.Dirs())
	_, legacy := ipt.Find(ipt.Legacy, ipt.Dirs())
	if err := errors.Join(nft, legacy); err != nil {
		if os.Getenv("PILLION_REQUIRE_NETNS") != "" {
			t.Fatalf("PILLION_REQUIRE_NETNS is set, but: %v", err)
		}
		t.Skip(err)
	}
}

// listing is what a variant of iptables says of the calling thread's namespace, in both families.
func listing(t *testing.T, variant string) string {
	t.Helper()
	text := ""
	for _, program := range []string{"iptables-", "ip6tables-"} {
		out, err := exec.Command(program+variant, "-t", "nat", "-S").CombinedOutput()
		if err != nil {
			t.Errorf("%s%s: %v: %s", program, variant, err, out)
		}
		text += string(out)
	}
	return text
}

func hasOurs(listing string) bool {
	return strings.Contains(listing, "ISTIO_") || strings.Contains(listing, "DNS_OUTPUT")
}

func TestLifeWithIptables(t *testing.T) {
	needIptables(t)
	for _, variant := range []string{"nft", "legacy"} {
		t.Run(variant, func(t *testing.T) {
			ask := "--force-iptables-binary " + variant + " " + line
			nstest.NewPod(t).Must(t, func() error {
				call("-n "+ask).expect(t, "dry run", 0, "dry-run", "*nat\n:ISTIO_INBOUND - [0:0]\n")
				if hasOurs(listing(t, variant)) {
					t.Error("a dry run changed something")
				}
				call("verify "+ask).expect(t, "verify before apply", 126, "differs", "missing rule output.capture.all in iptables -t nat", "in ip6tables -t nat")
				call(ask).expect(t, "apply", 0, "applied", `"backend":"iptables-`+variant+`","why":"asked for"`)
				call(line).expect(t, "what is there is kept", 0, "unchanged", `"backend":"iptables-`+variant+`","why":"its chains are there"`)
				call("--force-apply "+ask).expect(t, "forced apply", 0, "applied")
				call("verify "+line).expect(t, "verify", 0, "verified")
				call("diff -x 10.0.0.0/8 "+line).expect(t, "diff", 79, "differs", "missing rule output.bypass.dst4")
				call("explain "+line).expect(t, "explain", 0, "", "output.capture.all", "0 connections")
				call("--dialect istio -c eth1 "+ask).expect(t, "what a dialect doesn't write", 64, "failed", "--dialect istio can't write -c", "explain --as istio shows them")
				call("clean --record=").expect(t, "clean", 0, "cleaned")
				call("clean --record=").expect(t, "clean again", 0, "unchanged")
				return nil
			})
		})
	}
}

// Whatever was there before: the end is what a fresh namespace would hold, in one backend only.
func TestBackendSwitches(t *testing.T) {
	needIptables(t)
	backends := []string{"--backend nftables", "--force-iptables-binary nft", "--force-iptables-binary legacy"}
	for _, from := range backends {
		for _, to := range backends {
			if from == to {
				continue
			}
			nstest.NewPod(t).Must(t, func() error {
				call(from+" "+line).expect(t, from, 0, "applied")
				call("verify "+to+" "+line).expect(t, "verify the other", 126, "differs", "surplus rules of")
				call(to+" "+line).expect(t, from+" to "+to, 0, "applied", `"foreign":[`)
				call("verify "+to+" "+line).expect(t, "verify", 0, "verified")
				if to == backends[0] && strings.Contains(tables(t), "ip nat") {
					t.Errorf("from %s to %s: an empty table is left", from, to) // asking iptables-nft would make it
				}
				for i, holds := range []bool{tableIsThere(t), hasOurs(listing(t, "nft")), hasOurs(listing(t, "legacy"))} {
					if holds != (backends[i] == to) {
						t.Errorf("from %s to %s: %s is there: %t", from, to, backends[i], holds)
					}
				}
				call("clean --record=").expect(t, "clean", 0, "cleaned")
				if tableIsThere(t) || hasOurs(listing(t, "nft")+listing(t, "legacy")) {
					t.Errorf("from %s to %s: clean left something", from, to)
				}
				return nil
			})
		}
	}
}

func tableIsThere(t *testing.T) bool {
	t.Helper()
	return strings.Contains(tables(t), "table inet pillion")
}

func tables(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "tables").CombinedOutput()
	if err != nil {
		t.Errorf("nft: %v: %s", err, out)
	}
	return string(out)
}

// A table that holds anything else stays, be it one rule.
func TestOthersKeepTheirTable(t *testing.T) {
	needIptables(t)
	nstest.NewPod(t).Must(t, func() error {
		call("--arming late --force-iptables-binary nft "+line).expect(t, "apply, disarmed", 0, "applied")
		if out, err := exec.Command("iptables-nft", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "RETURN").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		call("--backend nftables "+line).expect(t, "switch", 0, "applied")
		if rest := listing(t, "nft"); hasOurs(rest) || !strings.Contains(rest, "-A OUTPUT -p udp -j RETURN") {
			t.Errorf("after the switch:\n%s", rest)
		}
		return nil
	})
}

// While one backend takes over from another nothing escapes: the old rules go once the new ones are there.
func TestNoConnectionEscapesASwitch(t *testing.T) {
	needIptables(t)
	backends := []string{"--backend nftables", "--force-iptables-binary nft", "--force-iptables-binary legacy"}
	pod := nstest.NewPod(t)
	pod.Serve(t, 15001, 15006)
	pod.Peer.Serve(t, 80)
	use := func(n int) {
		pod.Must(t, func() error {
			call(backends[n%3]+" "+line).expect(t, backends[n%3], 0, "applied")
			return nil
		})
	}
	use(0)
	stop := make(chan struct{})
	var clients []<-chan nstest.Tally
	for _, dst := range []string{"10.77.0.1:80", "[fd77::1]:80"} {
		clients = append(clients, pod.Hammer(nstest.Dial{UID: 1000, GID: 1000, Dst: netip.MustParseAddrPort(dst)}, 15001, stop))
	}
	for n := range 24 {
		use(n + 1)
	}
	close(stop)
	var all nstest.Tally
	for _, client := range clients {
		all.Add(<-client)
	}
	t.Logf("%d connections during 24 switches, slowest %s", all.Connections, all.Slowest)
	if all.Escaped > 0 || all.Failed > 0 || all.Connections < 100 {
		t.Errorf("%+v", all)
	}
}

// Chains that Istio left in iptables' nft variant: without a flag for it they're taken over; beside our own table they
// stay, with a warning, until --reconcile. That removes them without iptables, too.
func TestUpgradeFromIstio(t *testing.T) {
	needIptables(t)
	for _, variant := range []string{"nft", "legacy"} {
		istio := func() error {
			o := call("--dialect istio-1.8 --force-iptables-binary " + variant + " " + line)
			o.expect(t, "Istio's rules", 0, "applied")
			return addOthers(variant)
		}
		nstest.NewPod(t).Must(t, func() error {
			if err := istio(); err != nil {
				return err
			}
			call(line).expect(t, "upgrade", 0, "applied", `"backend":"iptables-`+variant)
			return nil
		})
		nstest.NewPod(t).Must(t, func() error {
			if err := istio(); err != nil {
				return err
			}
			call("--backend nftables "+line).expect(t, "beside", 0, "applied", "--reconcile removes them", "ISTIO_OUTPUT")
			if !hasOurs(listing(t, variant)) {
				t.Error("rules that aren't marked as ours were removed without --reconcile")
			}
			call("--backend nftables --reconcile "+line).expect(t, "reconcile", 0, "applied", `"backend":"nftables"`)
			rest := listing(t, variant)
			if hasOurs(rest) || !strings.Contains(rest, "-A OUTPUT -p udp -m udp --dport 99 -j DNAT") || !strings.Contains(rest, "-A MINE -j RETURN") {
				t.Errorf("%s: after --reconcile:\n%s", variant, rest)
			}
			call(line).expect(t, "afterwards", 0, "unchanged", `"why":"its table is there"`)
			return nil
		})
	}
}

// addOthers puts rules of somebody else beside ours.
func addOthers(variant string) error {
	for _, args := range []string{"-N MINE", "-A MINE -j RETURN", "-A OUTPUT -p udp --dport 99 -j DNAT --to-destination 127.0.0.1", "-I OUTPUT -p udp --dport 98 -j MINE"} {
		out, err := exec.Command("iptables-"+variant, append([]string{"-t", "nat"}, strings.Fields(args)...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", args, err, out)
		}
	}
	return nil
}

// The listings of the founding documents come out of the command lines that ask for them, byte for byte, whatever the
// namespace holds of others', run after run; and nothing of them is left by clean.
func TestFoundingListings(t *testing.T) {
	needIptables(t)
	for file, line := range map[string]string{
		"istio-1.8": "--dialect istio-1.8 -i * -b * -u 1337 -d 22,15090,15021,15020 --ip-families ipv4",
		"tsf": "--dialect tsf --mode listed -u 1000 -p 15001 -z 15001 --dns-port 55354 --redirect-dns --capture-all-dns --pod-ips 9.77.7.28" +
			" --listed-inbound 9.77.7.28:8089 --listed-outbound 240.0.0.10",
	} {
		want, err := os.ReadFile("../../capture/ipt/testdata/" + file + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		for _, variant := range []string{"nft", "legacy"} {
			nstest.New(t).Must(t, func() error {
				ask := "--backend iptables --force-iptables-binary " + variant + " --record= " + line
				if file == "istio-1.8" {
					if err := addPlugin(variant); err != nil {
						return err
					}
				}
				before := listing(t, variant)
				for run, result := range []string{"applied", "unchanged", "unchanged"} {
					call(ask).expect(t, fmt.Sprintf("%s, run %d", ask, run+1), 0, result)
					out, err := exec.Command("iptables-"+variant, "-t", "nat", "-S").Output()
					if string(out) != string(want) || err != nil {
						t.Errorf("%s, run %d: %v\n%s", ask, run+1, err, out)
					}
				}
				call("clean --record=").expect(t, "clean", 0, "cleaned")
				if after := listing(t, variant); after != before {
					t.Errorf("%s: before\n%safter clean\n%s", ask, before, after)
				}
				return nil
			})
		}
	}
}

// addPlugin puts the two rules of a network plugin there that the listing of Istio 1.8 has.
func addPlugin(variant string) error {
	for _, args := range [][]string{
		{"-A", "PREROUTING", "-s", "169.254.1.1/32", "-i", "veth1", "-m", "comment", "--comment", "yangtse PREROUTING rules", "-j", "RETURN"},
		{"-A", "POSTROUTING", "-o", "eth0", "-m", "comment", "--comment", "yangtse SNAT rules", "-j", "MASQUERADE", "--random"},
	} {
		out, err := exec.Command("iptables-"+variant, append([]string{"-t", "nat"}, args...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", args, err, out)
		}
	}
	return nil
}

// A kernel without nftables, but with iptables' older tables: nobody has to ask for them.
func TestFallbackToLegacy(t *testing.T) {
	needIptables(t)
	pod := nstest.NewPod(t)
	pod.Serve(t, 15001)
	err := <-pod.Thread(func() error {
		if err := nstest.DenyNetfilterSockets(syscall.EPROTONOSUPPORT); err != nil {
			return err
		}
		call("verify "+line).expect(t, "verify", 126, "differs")
		call(line).expect(t, "apply", 0, "applied", `"backend":"iptables-legacy","why":"fallback: opening a netlink socket for netfilter`)
		call(line).expect(t, "again", 0, "unchanged", `"why":"its chains are there"`)
		call("--backend nftables "+line).expect(t, "asked for", 69, "failed", "no usable backend", "CONFIG_NF_TABLES")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// iptables-legacy needs NET_RAW besides, and says so; the nft variant doesn't. Neither needs to write anywhere.
func TestRightsOfIptables(t *testing.T) {
	needIptables(t)
	pod := nstest.NewPod(t)
	err := <-pod.Thread(func() error {
		if err := errors.Join(nstest.ReadOnlyRoot(), nstest.KeepOnly(unix.CAP_NET_ADMIN, unix.CAP_NET_RAW)); err != nil {
			return err
		}
		process(self, "--force-iptables-binary legacy "+line, nil).expect(t, "legacy", 0, "applied")
		process(self, "clean --record=", nil).expect(t, "clean", 0, "cleaned")
		if err := nstest.KeepOnly(unix.CAP_NET_ADMIN); err != nil {
			return err
		}
		process(self, "--force-iptables-binary legacy "+line, nil).expect(t, "legacy", 77, "failed", "wants CAP_NET_RAW", "add NET_RAW")
		process(self, "--force-iptables-binary nft "+line, nil).expect(t, "nft", 0, "applied")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Whoever knows Istio's rules finds the one that decides there; what they can't say they aren't asked.
func TestExplainInIstiosRules(t *testing.T) {
	plain := "explain --ip-families ipv4 " + line + " -x 10.9.0.0/16 "
	packet := "tcp 10.0.0.7:41000 10.9.3.4:443"
	call(plain+packet).expect(t, "listed", 0, "", "(output.bypass.dst4); in Istio's rules: ISTIO_OUTPUT 9, RETURN\n")
	call(plain+"tcp 10.0.0.7:41000 10.8.3.4:443").expect(t, "captured", 0, "", "in Istio's rules: ISTIO_OUTPUT 10, REDIRECT\n")
	call(plain+"--exclude-outbound-uids 7 "+packet).expect(t, "can't be said", 0, "", "(output.bypass.dst4)\n")
	call("explain --as istio -i * -b * -m TPROXY -c eth1 -k virt0").expect(t, "what is only shown", 0, "", "-A PREROUTING -i virt0 -j ISTIO_REDIRECT\n", "-A OUTPUT -o eth1 -j RETURN\n", "-j TPROXY --on-port 15006")
	call("explain --as istio-1.8 -i * -b * -u 1337 --ip-families ipv4").expect(t, "listing", 0, "", "-A OUTPUT -p tcp -j ISTIO_OUTPUT\n")
}

// The programs run in the namespace that was asked for, not in the one of whoever asks.
func TestIptablesInANamespaceByPath(t *testing.T) {
	needIptables(t)
	for _, variant := range []string{"nft", "legacy"} {
		ns, elsewhere := nstest.NewPod(t), nstest.New(t)
		ask := "--cni-mode --network-namespace " + ns.Path() + " --force-iptables-binary " + variant + " " + line
		elsewhere.Must(t, func() error {
			call(ask).expect(t, "apply", 0, "applied")
			call("verify "+ask).expect(t, "verify", 0, "verified")
			if hasOurs(listing(t, variant)) {
				t.Errorf("%s: the rules went into the namespace we were in", variant)
			}
			return nil
		})
		ns.Must(t, func() error {
			if !hasOurs(listing(t, variant)) {
				t.Errorf("%s: the rules aren't in the namespace that was asked for", variant)
			}
			return nil
		})
	}
}

// Runs at once, of two plans: each ends well, and the end is one of both, whole.
func TestIptablesRunsAtOnce(t *testing.T) {
	needIptables(t)
	for _, variant := range []string{"nft", "legacy", "nft --cni-mode", "legacy --cni-mode"} {
		pod := nstest.NewPod(t)
		asks := []string{"-i * -b *", "-i * -b * -x 10.9.0.0/16", "-i * -b *"}
		codes := make(chan string, len(asks))
		var runs []<-chan error
		for _, ask := range asks {
			runs = append(runs, pod.Thread(func() error {
				if o := call("--record= --force-iptables-binary " + variant + " " + ask); o.code != 0 && !strings.Contains(o.stderr, "another program changes") {
					codes <- o.stderr
				}
				return nil
			}))
		}
		for _, run := range runs {
			if err := <-run; err != nil {
				t.Error(err)
			}
		}
		close(codes)
		for wrong := range codes {
			t.Errorf("%s: %s", variant, wrong)
		}
		pod.Must(t, func() error {
			one, other := call("verify --record= "+asks[0]), call("verify --record= "+asks[1])
			if (one.code == 0) == (other.code == 0) {
				t.Errorf("%s: neither plan, or both, are in force: %s%s", variant, one.stdout, other.stdout)
			}
			return nil
		})
	}
}

// iptables' owner match knows only users that the user namespace has: a refusal that leaves nothing behind.
func TestIptablesInAUserNamespace(t *testing.T) {
	needIptables(t)
	nstest.New(t) // skips where namespaces can't be had
	rights := &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 1}},
		Credential:  &syscall.Credential{NoSetGroups: true}, // become that root: who started it isn't known there
	}
	process(self, "--force-iptables-binary nft "+line, rights).expect(t, "refused", 1, "failed", "nothing was changed", "iptables-nft-restore")
}
