//go:build linux

package capture

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

// What TestVerifyCatchesEveryMutation does to nftables' rules, here to those of both variants of iptables: each rule
// deleted, swapped with the next one, and altered, as another program would do it.
func TestVerifyCatchesEveryMutationOfIptables(t *testing.T) {
	needIptables(t)
	ask := line + " --ip-families ipv4 -x 10.9.0.0/16 -o 9000-9010 -c eth7 --exclude-outbound-uids 5 --redirect-dns --capture-all-dns --drop-invalid"
	for _, variant := range []string{"nft", "legacy"} {
		t.Run(variant, func(t *testing.T) {
			program := "iptables-" + variant
			nstest.New(t).Must(t, func() error {
				call("--force-iptables-binary "+variant+" "+ask).expect(t, "apply", 0, "applied")
				saved, err := exec.Command(program + "-save").Output()
				if err != nil {
					return err
				}
				right := strings.Split(string(saved), "\n")
				all := textMutations(right)
				if len(all) < 40 {
					t.Errorf("%d mutations: this proves little", len(all))
				}
				for name, wrong := range all {
					if err := restoreText(program, wrong); err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
					if got := call("verify " + ask); got.code != 126 {
						t.Errorf("%s: verify ends with %d\n%s", name, got.code, got.stderr)
					}
				}
				call(ask).expect(t, "repair", 0, "applied")
				call("verify "+ask).expect(t, "verify", 0, "verified")
				return nil
			})
		})
	}
}

func restoreText(program string, lines []string) error {
	cmd := exec.Command(program + "-restore")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

var toPort = regexp.MustCompile(`--to-ports \d+`)

// textMutations breaks each rule of a saved ruleset in turn.
func textMutations(right []string) map[string][]string {
	all := map[string][]string{}
	for i, rule := range right {
		if !strings.HasPrefix(rule, "-A ") {
			continue
		}
		change := func(how string, lines ...string) {
			all[fmt.Sprintf("%s line %d, %s", how, i, rule)] = append(append(append([]string{}, right[:i]...), lines...), right[i+len(lines):]...)
		}
		all["deleted "+rule+strconv.Itoa(i)] = append(append([]string{}, right[:i]...), right[i+1:]...)
		next := right[i+1]
		if strings.HasPrefix(next, "-A ") && strings.Fields(next)[1] == strings.Fields(rule)[1] && next != rule {
			change("swapped", next, rule)
		}
		if m := toPort.FindString(rule); m != "" {
			change("another port in", strings.Replace(rule, m, "--to-ports 9", 1))
		}
		if strings.HasSuffix(rule, "-j RETURN") {
			change("accepted by", strings.TrimSuffix(rule, "RETURN")+"ACCEPT")
		}
		if strings.Contains(rule, " -p tcp ") && strings.Contains(rule, " -j RETURN") && !strings.Contains(rule, "dport") {
			change("another protocol in", strings.Replace(rule, " -p tcp ", " -p udp ", 1))
		}
	}
	return all
}
