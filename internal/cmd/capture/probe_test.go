//go:build linux

package capture

import (
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

// probed asks for probes that all find something, however slow the machine is; missed for some that wait in vain.
const (
	probed = " --probe-timeout 60s --probe "
	missed = " --probe-timeout 500ms --probe "
)

// all are the probes of the usual plan.
var all = []string{"probe out ipv4: passed", "probe hairpin ipv4: passed", "probe passthrough ipv4: passed", "probe own address ipv4: passed",
	"probe loopback ipv4: passed", "probe out ipv6: passed", "probe hairpin ipv6: passed", "probe passthrough ipv6: passed",
	"probe own address ipv6: passed", "probe loopback ipv6: passed"}

func TestProbesPassWhereTheRulesAreRight(t *testing.T) {
	for name, plan := range map[string]string{
		"usual":     line,
		"lists":     line + " -i 10.0.0.0/8,fd99::/16",
		"ports":     "-q 443 -b 80 --record=",
		"groups":    line + " -u 1337,1338 -g 2000",
		"excludes":  line + " -x 192.0.2.0/24,2001:db8::1 -c eth1 --exclude-outbound-uids 0-999",
		"one alone": line + " --ip-families ipv4",
		"tproxy":    line + " -m TPROXY",
		"marked":    line + " --proxy-mark 0x100 --drop-invalid",
		"iptables":  line + " --backend iptables",
	} {
		t.Run(name, func(t *testing.T) {
			pod := nstest.NewPod(t)
			pod.Must(t, func() error {
				call(plan).expect(t, "apply", 0, "applied")
				got := call("verify" + probed + plan)
				got.expect(t, "verify", 0, "verified", all[:5]...)
				if name != "one alone" {
					got.expect(t, "verify", 0, "verified", all[5:]...)
				}
				if len(got.evidence.Warnings) > 0 {
					t.Errorf("something wasn't probed: %v", got.evidence.Warnings)
				}
				return nil
			})
		})
	}
}

func TestProbesOfQueriesAndOfListedMode(t *testing.T) {
	pod := nstest.NewPod(t)
	pod.Must(t, func() error {
		all := line + " --redirect-dns --capture-all-dns"
		call(all).expect(t, "apply", 0, "applied")
		call("verify"+probed+all).expect(t, "queries", 0, "verified", "probe dns udp ipv4: passed", "probe dns tcp ipv4: passed",
			"probe dns udp ipv6: passed", "probe dns tcp ipv6: passed", "probe out ipv4: passed")
		if err := shell("nft flush chain inet pillion nat_out"); err != nil {
			return err
		}
		call("verify"+missed+all).expect(t, "queries without rules", 126, "differs", "probe dns udp ipv4: failed", "probe dns tcp ipv6: failed")
		listed := "--mode listed -p 15001 -z 15001 --pod-ips 10.77.0.2 --ip-families ipv4 -u 1337 --listed-outbound 240.0.0.10 --record="
		call(listed).expect(t, "apply", 0, "applied")
		call("verify"+probed+listed).expect(t, "listed", 0, "verified", "probe out ipv4: passed", "probe hairpin ipv4: passed", "probe loopback ipv4: passed")
		return nil
	})
}

// What each rule is for shows when it is gone: probes find it without reading a single rule.
func TestProbesFailWithoutTheRule(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft isn't installed")
	}
	for edit, want := range map[string]string{
		"flush chain inet pillion nat_out":                                                           "probe out ipv4: failed: user 0 group 0 to 192.0.2.1:15002",
		"flush chain inet pillion from_proxy":                                                        "probe hairpin ipv6: failed",
		"insert rule inet pillion nat_out ip saddr 127.0.0.6 tcp dport 15002 redirect to :15006":     "probe passthrough ipv4: failed: user 1337 group 1337 to 10.77.0.2:15002: arrived at port 15006, must at 15002",
		"insert rule inet pillion nat_out ip6 daddr ::1 tcp dport 15002 redirect to :15001":          "probe loopback ipv6: failed",
		"insert rule inet pillion nat_out ip daddr 192.0.2.1 tcp dport 15002 dnat ip to 127.0.0.1:9": "probe out ipv4: failed: user 0 group 0 to 192.0.2.1:15002: connection refused",
		"delete table inet pillion":                                                                  "probe hairpin ipv4: failed: user 1337 group 1337 to 10.77.0.2:15002: arrived at port 15002, must at 15006",
	} {
		pod := nstest.NewPod(t)
		pod.Must(t, func() error {
			call(line).expect(t, "apply", 0, "applied")
			if out, err := exec.Command("nft", strings.Fields(edit)...).CombinedOutput(); err != nil {
				t.Fatalf("nft %s: %v\n%s", edit, err, out)
			}
			call("verify"+missed+line).expect(t, edit, 126, "differs", want)
			return nil
		})
	}
}

// What can't be probed is said, and isn't taken for proven or for broken.
func TestWhatCannotBeProbedIsSaid(t *testing.T) {
	pod := nstest.NewPod(t)
	pod.Must(t, func() error {
		call(line).expect(t, "apply", 0, "applied")
		process(self, "verify"+probed+line, nobody(unix.CAP_NET_ADMIN)).expect(t, "as the proxy's user, with NET_ADMIN", 0, "verified",
			"probe hairpin ipv4: passed", "probe out ipv4: not probed: being user 1000, group 1000 wants CAP_SETUID and CAP_SETGID")
		process(self, "verify"+probed+line, nobody()).expect(t, "as the proxy's user", 0, "verified",
			"the rules themselves weren't compared", "probe hairpin ipv4: passed")
		return nil
	})
	pod.Serve(t, 15001)
	pod.Must(t, func() error {
		call("verify"+probed+line).expect(t, "while the proxy runs", 0, "verified",
			"probe out ipv4: not probed: listening on port 15001: address already in use", "probe hairpin ipv4: passed")
		call("verify -o json"+probed+line).expect(t, "as JSON", 0, "verified", `"probe": "hairpin ipv6",`, `"outcome": "passed"`)
		return nil
	})
	nowhere := nstest.New(t)
	nowhere.Must(t, func() error {
		call(line).expect(t, "apply", 0, "applied")
		call("verify"+probed+line).expect(t, "without a network", 0, "verified", "probe out ipv4: not probed: no way to 192.0.2.1: network is unreachable")
		call("-m NONE "+line).expect(t, "none", 0, "applied")
		call("verify -m NONE"+probed+line).expect(t, "nothing to probe", 0, "verified")
		return nil
	})
}
