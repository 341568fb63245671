//go:build linux

package capture

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

// Histories are random sequences of what happens to a namespace: plans applied with any backend, cleans, runs killed in
// the middle, edits by others. Whatever came before, a last apply ends in what a fresh namespace would hold, and what
// isn't ours is as it was.

const (
	histories = 12
	steps     = 8
)

// historyPlans are what runs ask for; what is left of one is another's stale state.
var historyPlans = []string{
	"-i * -b * -d 15090,15021,15020",
	"-i * -b * -x 10.9.0.0/16,fd99::/64 -o 9000-9010 -c eth7 --exclude-outbound-uids 5",
	"-i 10.0.0.0/8,fd00::/8 -q 443 -b 8080,9000-9010 -u 1337,1338",
	"-i * -b * --ip-families ipv4",
	"-m NONE -i * -b *",
	"-m TPROXY -i * -b * -d 15020",
	"-m TPROXY -i * -b 8080 -t 5 -r 6 --ip-families ipv4",
	"-i * -b * --redirect-dns --capture-all-dns --drop-invalid",
	"--mode listed -p 15001 -z 15001 --pod-ips 10.77.0.2 --ip-families ipv4 -u 1000 --listed-outbound 240.0.0.10 --listed-inbound 10.77.0.2:80",
}

var historyBackends = []string{"--backend nftables", "--force-iptables-binary nft", "--force-iptables-binary legacy"}

// others' rules, in every place where ours may be too.
var others = []string{
	"nft add table inet other", "nft add chain inet other input { type filter hook input priority 0 ; }", "nft add rule inet other input tcp dport 9999 drop",
	"iptables-nft -t nat -A OUTPUT -p tcp --dport 7777 -j REDIRECT --to-ports 7778",
	"iptables-legacy -t nat -A PREROUTING -p tcp --dport 6666 -j REDIRECT --to-ports 6667",
	"ip rule add fwmark 99 lookup 99", "ip route add 10.200.0.0/16 dev lo table 99",
}

// vandalism is what others do to our rules; it may fail, for they may not be there.
var vandalism = []string{
	"nft flush chain inet pillion nat_out", "nft delete table inet pillion", "nft add chain inet pillion more",
	"nft insert rule inet pillion nat_in accept", "nft flush chain inet pillion from_proxy", "ip addr del ::6/128 dev lo",
	"iptables-nft -t nat -F ISTIO_OUTPUT", "iptables-nft -t nat -D PREROUTING 1", "iptables-legacy -t nat -F ISTIO_INBOUND",
	"ip rule del fwmark 1337", "ip route flush table 133", "nft delete chain inet pillion about", "iptables-nft -t mangle -F",
	"iptables-legacy -t nat -A ISTIO_OUTPUT -j RETURN", "ip6tables-nft -t nat -N ISTIO_REDIRECT",
}

func shell(line string) error {
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return nil
}

// step is one thing that happens, and its name.
func step(random *rand.Rand) (string, func()) {
	command := historyPlans[random.IntN(len(historyPlans))] + " " + historyBackends[random.IntN(len(historyBackends))] + " --record="
	switch random.IntN(5) {
	case 0:
		edit := vandalism[random.IntN(len(vandalism))]
		return edit, func() { _ = shell(edit) }
	case 1:
		return "clean", func() { call("clean --record=") }
	case 2:
		after := time.Duration(random.IntN(8000)) * time.Microsecond
		return fmt.Sprintf("killed after %s: %s", after, command), func() { killed(command, after) }
	default:
		return command, func() { call(command) }
	}
}

// killed starts a run and ends it wherever it is.
func killed(line string, after time.Duration) {
	cmd := exec.Command(self, strings.Fields(line)...)
	cmd.Env = []string{childMark + "=yes", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if cmd.Start() != nil {
		return
	}
	time.Sleep(after)
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with the iptables it may have started
	_ = cmd.Wait()
}

// holds is everything of the calling thread's namespace that capture may touch: what is empty doesn't count, for
// iptables leaves its tables and chains behind.
func holds() (map[string]string, error) {
	state := map[string]string{}
	for _, line := range []string{"nft -s list ruleset", "iptables-legacy-save", "ip6tables-legacy-save", "ip rule", "ip -6 rule",
		"ip route show table all", "ip -o addr show dev lo"} {
		words := strings.Fields(line)
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", line, err, out)
		}
		state[line] = essence(string(out))
	}
	return state, nil
}

// essence leaves out comments, counts, routes that the kernel makes of addresses in its own time, and others' chains that hold nothing; nft lists tables, chains and sets in the
// order they were made.
func essence(text string) string {
	var blocks []string
	table, block := "", ""
	end := func() {
		if strings.Contains(block, "\n") || strings.HasPrefix(table, "table inet pillion") && block != "" {
			blocks = append(blocks, table+" "+block)
		}
		block = ""
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line == "}" || strings.Contains(line, " table local ") || line == "COMMIT" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ":") || strings.HasPrefix(line, "type ") && table != "table inet pillion {":
		case strings.HasPrefix(line, "table "):
			end()
			table = line
		case strings.HasSuffix(line, "{"), strings.HasPrefix(line, "*"):
			end()
			block = line
		default:
			block += "\n" + line
		}
	}
	end()
	slices.Sort(blocks)
	return strings.Join(blocks, "\n")
}

func TestHistories(t *testing.T) {
	needIptables(t)
	for seed := range uint64(histories) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 5))
			last := historyPlans[random.IntN(len(historyPlans))] + " " + historyBackends[random.IntN(len(historyBackends))] + " --record="
			var names []string
			state := func(history bool) (now map[string]string) {
				nstest.NewPod(t).Must(t, func() (err error) {
					for _, line := range others {
						if err := shell(line); err != nil {
							return err
						}
					}
					for range steps {
						if history {
							name, do := step(random)
							names = append(names, name)
							do()
						}
					}
					if got := call(last); got.code != 0 {
						t.Errorf("the last run ended with %d:\n%s", got.code, got.stderr)
					}
					call("verify "+last).expect(t, "verify", 0, "verified")
					now, err = holds()
					return err
				})
				return now
			}
			want, got := state(false), state(true)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("after\n%s\nand then %s, a used namespace (+) differs from a fresh one (-):\n%s", strings.Join(names, "\n"), last, d)
			}
		})
	}
}
