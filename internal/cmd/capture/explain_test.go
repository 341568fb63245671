//go:build linux

package capture

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

func TestExplainAPacketByFlags(t *testing.T) {
	pod := nstest.NewPod(t)
	pod.Must(t, func() error {
		call("-x 10.9.0.0/16 "+line).expect(t, "apply", 0, "applied")
		for question, want := range map[string]string{
			"--from uid:1000 --to 10.0.0.5:3306":                   "outbound: goes to the proxy's port 15001, original destination 10.0.0.5:3306 (output.capture.all)",
			"--from uid:1000 --to 10.9.3.4:443":                    "direct: the proxy never sees this connection (output.bypass.dst4)",
			"--from uid:1000 --to 10.0.0.5:53 --proto udp":         "udp of uid 1000 gid 0 from 10.77.0.2 to 10.0.0.5:53 over eth0",
			"--from uid:1337 --to 10.0.0.5:3306":                   "(output.identity.leave)",
			"--from uid:1000,gid:1337 --to 10.0.0.5:3306":          "(output.identity.leave)",
			"--from uid:1337 --to 10.77.0.2:8080":                  "inbound: goes to the proxy's port 15006",
			"--from uid:1337,127.0.0.6 --to 10.77.0.2:8080":        "(output.passthrough.lo4)",
			"--from uid:1337,[::6]:4000 --to :8080":                "uid 1337 gid 0 from [::6]:4000 to [fd77::2]:8080 over lo",
			"--from 10.77.0.1 --to :8080 --in":                     "tcp from 10.77.0.1 arrives for 10.77.0.2:8080 on eth0",
			"--to 10.77.0.2:8080 --in":                             "tcp from anywhere arrives for 10.77.0.2:8080 on eth0",
			"--to [fd77::2]:15020 --in":                            "(prerouting.bypass.port)",
			"--from iface:eth1 --to 10.78.0.9:1":                   "over eth1",
			"--proxy-mark 0x100 --from mark:0x100 --to 10.0.0.5:1": "output.identity.leave",
			"--from uid:1000 --to 127.0.0.1:80":                    "(output.loopback.lo)",
			"--from uid:1000 --to 10.0.0.5:3306 --proto tcp --in":  "arrives for 10.0.0.5:3306",
			"tcp 10.77.0.2:41000 10.9.3.4:443 --uid 1000":          "MATCH  output.bypass.dst4",
		} {
			call("explain "+line+" -x 10.9.0.0/16 "+question).expect(t, question, 0, "", want)
		}
		for question, want := range map[string]string{
			"--to 10.0.0.5":                      "want ADDRESS:PORT, or :PORT for this pod's own address",
			"--to nowhere:80":                    `"nowhere:80" is not ADDRESS:PORT`,
			"--to 10.0.0.5:80 --from joe":        "want uid:N, gid:N, mark:N, iface:NAME, ADDRESS or ADDRESS:PORT",
			"--to 10.0.0.5:80 --from mark:x":     `"x" is not a packet mark`,
			"--to 10.0.0.5:80 --from uid:-1":     `"-1" is not a number`,
			"--to 10.0.0.5:80 --from iface:a/b":  "is not an interface name",
			"--to 10.0.0.5:80 --from fd00::1":    "of different IP families",
			"--to 10.0.0.5:80 --proto sctp":      "want one of tcp, udp",
			"--to [::ffff:1.2.3.4]:80":           "is not ADDRESS:PORT",
			"tcp 10.0.0.5:1 --to 10.0.0.5:80":    "want tcp|udp SOURCE:PORT DESTINATION:PORT, or --from and --to",
			"--to 10.0.0.5:80 --from uid:1,,2":   "item 2 is empty",
			"--to :0 --from uid:1":               `"0" is not a number from 1 to 65535`,
			"--from uid:1000 --to [fe80::1%a]:1": "is not ADDRESS:PORT",
		} {
			if got := call("explain " + line + " " + question); got.code != 64 || !strings.Contains(got.stderr, want) || got.stdout != "" {
				t.Errorf("%s: exit %d, want 64 and %s; got\n%s%s", question, got.code, want, got.stdout, got.stderr)
			}
		}
		return nil
	})
}

// What a script reads: the same as the text, and what the kernel counted.
func TestExplainAsJSON(t *testing.T) {
	ns := nstest.New(t)
	ns.Must(t, func() error {
		call(line).expect(t, "apply", 0, "applied")
		var got struct {
			Verdict, Decided, OriginalDestination string
			Port                                  int
			Live                                  struct {
				Source      string
				Read        bool
				Differences []struct{ What string }
			}
			Steps []struct {
				Number  int
				Rule    string
				Matched bool
				Packets *int
			}
		}
		if err := json.Unmarshal([]byte(call("explain -o json --from uid:1 --to 10.0.0.5:80 -o 90 "+line).stdout), &got); err != nil {
			return err
		}
		last := got.Steps[len(got.Steps)-1]
		if got.Verdict != "outbound" || got.Port != 15001 || got.OriginalDestination != "10.0.0.5:80" || got.Decided != "output.capture.all" ||
			last.Rule != got.Decided || last.Number != 7 || !last.Matched || last.Packets == nil {
			t.Errorf("%+v", got)
		}
		if !got.Live.Read || got.Live.Source != "flags" || len(got.Live.Differences) == 0 || !strings.HasPrefix(got.Live.Differences[0].What, "rule output.exempt.port") {
			t.Errorf("the question has -o 90, the kernel hasn't: %+v", got.Live)
		}
		return nil
	})
}

// A question without flags of a plan is about the one that was applied.
func TestExplainSpeaksOfWhatWasApplied(t *testing.T) {
	ns, path := nstest.New(t), filepath.Join(t.TempDir(), "capture.json")
	ns.Must(t, func() error {
		call("explain -i * --to 10.9.0.5:3306").expect(t, "before", 0, "", "nothing is in force here", "(output.capture.all)")
		call("-i * -b * -x 10.9.0.0/16 --record "+path).expect(t, "apply", 0, "applied")
		call("explain --from uid:1000 --to 10.9.0.5:3306 --record "+path).expect(t, "by record", 0, "", "of "+path, "(output.bypass.dst4)")
		call("explain -i * --from uid:1000 --to 10.9.0.5:3306 --record "+path).expect(t, "by flags", 0, "", "of flags", "(output.capture.all)", "the kernel holds something else")
		call("explain --from uid:1000 --to 10.9.0.5:3306 --record=").expect(t, "no record", 0, "", "of flags", "no rule speaks of it")
		call("clean --record "+path).expect(t, "clean", 0, "cleaned")
		call("explain --to 10.9.0.5:3306 --record "+path).expect(t, "by record", 0, "", "no rule speaks of it")
		if record, err := capture.Load(path); err != nil || !record.Plan.Empty() {
			t.Errorf("record after clean: %+v, %v", record, err)
		}
		return nil
	})
}

// As the proxy's container asks: another user, without any right, and with the kernel's rules out of reach.
func TestExplainWithoutAnyRight(t *testing.T) {
	folder := t.TempDir()
	if err := errors.Join(os.Chmod(folder, 0o755), os.Chmod(filepath.Dir(folder), 0o755)); err != nil {
		t.Fatal(err)
	}
	pod, path := nstest.NewPod(t), filepath.Join(folder, "capture.json")
	pod.Must(t, func() error {
		call("-i * -b * -x 10.9.0.0/16 --record "+path).expect(t, "apply", 0, "applied")
		process(self, "explain --from uid:1000 --to 10.0.0.5:3306 --record "+path, nobody()).expect(t, "out", 0, "",
			"of "+path, "what is in the kernel couldn't be read", "outbound: goes to the proxy's port 15001")
		process(self, "explain --from 10.0.0.9 --to :8080 --in -o json --record "+path, nobody()).expect(t, "in", 0, "", `"verdict": "inbound"`, `"read": false`)
		return nil
	})
}

// eachBackend runs a test with the flags of every backend.
func eachBackend(t *testing.T, test func(t *testing.T, flags string)) {
	needIptables(t)
	for _, flags := range []string{"--backend nftables", "--force-iptables-binary nft", "--force-iptables-binary legacy"} {
		t.Run(flags, func(t *testing.T) { test(t, flags) })
	}
}

// liveSets are those of the rules that a record tells of, in the calling thread's namespace.
func liveSets(t *testing.T, path string) capture.Sets {
	t.Helper()
	record, err := capture.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	_, sets, end, err := capture.Open(record, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end() })
	return sets
}

// In Listed mode the answer is about what the live sets hold now, not about what they held at first.
func TestExplainLooksIntoLiveSets(t *testing.T) {
	eachBackend(t, func(t *testing.T, flags string) {
		path := filepath.Join(t.TempDir(), "capture.json")
		listed := flags + " --mode listed --pod-ips 10.77.0.2 --ip-families ipv4 -u 1000 --listed-inbound 10.77.0.2:80 --listed-outbound 240.0.0.10 --record " + path
		pod := nstest.NewPod(t)
		pod.Must(t, func() error {
			call(listed).expect(t, "apply", 0, "applied")
			call("explain "+listed+" --to 240.0.0.10:80").expect(t, "listed at first", 0, "", "outbound: goes to the proxy's port")
			call("explain "+listed+" --to 240.0.0.11:80").expect(t, "not listed", 0, "", "direct")
			sets := liveSets(t, path)
			in := plan.Element{Addr: netip.MustParseAddr("10.77.0.2"), Port: 81}
			err := errors.Join(sets.AddElements(plan.SetVIP4, []plan.Element{{Addr: netip.MustParseAddr("240.0.0.11")}}),
				sets.AddElements(plan.SetIn4, []plan.Element{in}),
				sets.RemoveElements(map[string][]plan.Element{plan.SetVIP4: {{Addr: netip.MustParseAddr("240.0.0.10")}}}))
			if err != nil {
				return err
			}
			call("explain "+listed+" --to 240.0.0.11:80").expect(t, "added", 0, "", "outbound: goes to the proxy's port")
			call("explain "+listed+" --to 240.0.0.10:80").expect(t, "removed", 0, "", "direct")
			call("explain "+listed+" --in --to 10.77.0.2:80").expect(t, "inbound at first", 0, "", "inbound: goes to the proxy's port")
			call("explain "+listed+" --in --to 10.77.0.2:81").expect(t, "inbound, added", 0, "", "inbound: goes to the proxy's port")
			call("explain "+listed+" --in --to 10.77.0.2:82").expect(t, "inbound, not listed", 0, "", "direct")
			return nil
		})
	})
}

// A dialect without live sets captures what its rules list: the plan's first contents.
func TestExplainOfADialectWithoutLiveSets(t *testing.T) {
	needIptables(t)
	listed := "--dialect tsf --force-iptables-binary nft --mode listed --pod-ips 10.77.0.2 --ip-families ipv4 -u 1000 -p 15001 -z 15001 --dns-port 55354" +
		" --redirect-dns --capture-all-dns --listed-outbound 240.0.0.10 --record="
	nstest.NewPod(t).Must(t, func() error {
		call(listed).expect(t, "apply", 0, "applied")
		call("explain "+listed+" --to 240.0.0.10:80").expect(t, "listed", 0, "", "outbound: goes to the proxy's port")
		call("explain "+listed+" --to 240.0.0.11:80").expect(t, "not listed", 0, "", "direct")
		return nil
	})
}

// With late arming the answer, and what probes expect, depend on what is armed now.
func TestExplainAndProbeLateArming(t *testing.T) {
	eachBackend(t, func(t *testing.T, flags string) {
		path := filepath.Join(t.TempDir(), "capture.json")
		late := flags + " " + strings.ReplaceAll(line, "--record=", "") + " --arming late --ip-families ipv4 --record " + path
		pod := nstest.NewPod(t)
		pod.Must(t, func() error {
			call(late).expect(t, "apply", 0, "applied")
			call("explain "+late+" --to 10.0.0.5:80").expect(t, "before", 0, "", "(output.scope.armed)")
			call("verify"+probed+late).expect(t, "before", 0, "verified", "probe hairpin ipv4: passed")
			if err := liveSets(t, path).AddElements(plan.SetArmed, []plan.Element{{Proto: plan.TCP}}); err != nil {
				return err
			}
			call("explain "+late+" --to 10.0.0.5:80").expect(t, "armed", 0, "", "outbound: goes to the proxy's port 15001")
			call("verify"+probed+late).expect(t, "armed", 0, "verified", "probe out ipv4: passed", "probe hairpin ipv4: passed")
			return nil
		})
	})
}
