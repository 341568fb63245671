package plan

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // a flag of the test binary

func dual() Families { return Families{V4: true, V6: true} }

func mustPlan(t *testing.T, line string, families Families) *Plan {
	t.Helper()
	p, _, err := New(parse(t, line, nil).Options, families)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGolden(t *testing.T) {
	for name, c := range map[string]struct {
		line     string
		families Families
	}{
		"injected": {"-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020", dual()},
		"ipv4":     {"-i * -b *", Families{V4: true}},
		"ipv6":     {"-i * -b *", Families{V6: true}},
		"excludes": {"-i * -b * -x 10.99.0.0/16,fd99::/64 -o 9000-9010 -c eth1,eth7 --exclude-outbound-uids 0,106-108 --exclude-inbound-ip-ranges 10.78.0.0/24,fd78::/64", dual()},
		"listed":   {"-u 1337,1338 -g 2000 -i 10.77.0.0/24,fd77::/64 -q 443 -b 8080,9000-9010", dual()},
		"loopback": {"-i 127.0.0.0/8,10.0.0.0/8", dual()},
		"tproxy":   {"-m TPROXY -i * -b * -c eth1 --drop-invalid --exclude-inbound-ip-ranges 10.78.0.0/24", Families{V4: true}},
		"virtual":  {"-m TPROXY -i 10.0.0.0/8,fd00::/8 -q 443 -b * -k net0 -c eth1 -x 10.9.0.0/16 --arming late", dual()},
		"tsf":      {"--mode listed -u 1000 -p 15001 -z 15001 --dns-port 55354 --redirect-dns --capture-all-dns --pod-ips 9.77.7.28 --listed-inbound 9.77.7.28:8089 --listed-outbound 240.0.0.10", Families{V4: true}},
		"none":     {"-m NONE -i * -b *", dual()},
		"marked":   {"-i * -b * -c eth1 --proxy-mark 0x100/0xff00 --drop-invalid", dual()},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustPlan(t, c.line, c.families)
			text, err := json.MarshalIndent(p, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", string(text)+"\n")
			golden(t, name+".nft", p.Rules().Text("golden"))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-update writes it):\n%s", path, d)
	}
}

func TestPlanSurvivesJSON(t *testing.T) {
	p := mustPlan(t, "-i * -b * -x 10.99.0.0/16 -o 9000-9010 --exclude-outbound-uids 106-108", dual())
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back Plan
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.Fingerprint() != p.Fingerprint() || back.Rules().Text("") != p.Rules().Text("") {
		t.Error("a plan read back isn't the same plan")
	}
}

func TestInvalidOptions(t *testing.T) {
	for line, want := range map[string]string{
		"-p 15006": "-p --envoy-port and -z --inbound-capture-port are both 15006",
		"-p 15053": "-p --envoy-port and --dns-port are both 15053",
		"--mode listed -z 15006 --pod-ips 10.0.0.7,fd00::7":  "with --mode listed one port takes both directions",
		"--mode listed -p 55354 --pod-ips 10.0.0.7,fd00::7":  "-p --envoy-port and --dns-port are both 55354",
		"-m TPROXY --mode listed --pod-ips 10.0.0.7,fd00::7": "TPROXY and --mode listed don't go together",
		"-m TPROXY --proxy-mark 1337":                        "--proxy-mark 0x539: TPROXY marks packets of clients with 0x539 (-t)",
		"--mode listed --pod-ips 10.0.0.7":                   "--pod-ips: there is no IPv6 address",
		"--mode listed --pod-ips fd00::7":                    "--pod-ips: there is no IPv4 address",
		"--mode listed --pod-ips 10.0.0.7,10.0.0.8,fd00::7":  "10.0.0.7 and 10.0.0.8 are of one IP family",
		"-z 53 --dns-port 53":                                "-z --inbound-capture-port and --dns-port are both 53",
	} {
		_, _, err := New(parse(t, line, nil).Options, dual())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", line, err, want)
		}
	}
	for _, bad := range []string{"10.0.0.0/8", "0.0.0.0/0", "::1/128"} {
		o := Defaults()
		o.Loopback = netip.MustParsePrefix(bad)
		if _, _, err := New(o, dual()); err == nil {
			t.Errorf("loopback %s was taken", bad)
		}
	}
	o := Defaults()
	o.ProxyUIDs = nil
	if _, _, err := New(o, dual()); err == nil {
		t.Error("a proxy without UID was taken")
	}
}

func TestWarnings(t *testing.T) {
	for line, want := range map[string]string{
		"-i * -b * -u 0":     "all of root escapes",
		"-i * -b 80 -d 8080": "-d --istio-local-exclude-ports has an effect only with -b '*'",
		"-i * -b * -q 443":   "-q --istio-outbound-ports adds nothing to -i '*'",
		"":                   "nothing is captured",
		"-i * -b *":          "",
		"-m NONE -u 0":       "",
		"--mode listed --pod-ips 10.0.0.7,fd00::7 -b 80": "-b, -d, -i and -q have no effect with --mode listed",
		"--mode listed --pod-ips 10.0.0.7,fd00::7":       "",
		"-i * --listed-outbound 240.0.0.1":               "have an effect only with --mode listed",
		"--redirect-dns":                                 "/etc/resolv.conf names no server of a captured IP family",
		"--capture-all-dns":                              "--capture-all-dns has an effect only with --redirect-dns",
	} {
		_, warnings, err := New(parse(t, line, nil).Options, dual())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(warnings, "; "); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

func TestArgsMakeTheSamePlan(t *testing.T) {
	for _, line := range []string{
		"", "-i * -b * -d 15090,15021,15020", "-m NONE", "-m TPROXY -t 5 -r 6", "-k net0 --arming late",
		"--mode listed", "--mode listed -p 16001 --pod-ips 10.0.0.7,fd00::7 --listed-inbound 10.0.0.7:80 --listed-outbound 240.0.0.1",
		"-p 1 -z 2 -e 3 -u 4,5 -g 6 -i 10.0.0.0/8 -x 10.1.0.0/16,fd00::/8 -b 80,90-99 -c eth1 -q 443 -o 25 --dns-port 7 --exclude-outbound-uids 1-2 --exclude-inbound-ip-ranges 1.2.3.4 --ip-families dual --proxy-mark 5/7 --drop-invalid --redirect-dns --capture-all-dns -t 9 -r 8",
	} {
		options := parse(t, line, nil).Options
		again, err := Parse(Args(options), Environment{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(options, again.Options, compare()); d != "" {
			t.Errorf("%s -> %v: %s", line, Args(options), d)
		}
	}
	want := []string{"-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15020-15021,15090"}
	if d := cmp.Diff(want, Args(parse(t, "-i * -b * -d 15090,15021,15020", nil).Options)); d != "" {
		t.Error(d)
	}
}

// What the kernel can't show: packets without a socket, UDP, and the way through the rules.
func TestEval(t *testing.T) {
	p := mustPlan(t, "-i * -b * -o 9000 -x 10.9.0.0/16", dual())
	packet := func(proto uint8, out, src, dst string, owner *Owner) Packet {
		return Packet{Hook: Output, Proto: proto, Out: out, Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort(dst), Owner: owner}
	}
	app, proxy := &Owner{UID: 1000, GID: 1000}, &Owner{UID: 1337, GID: 1337}
	for _, c := range []struct {
		packet  Packet
		verdict Verdict
		decided string
	}{
		{packet(TCP, "eth0", "10.0.0.7:1", "10.9.3.4:443", app), VerdictLeft, "output.bypass.dst4"},
		{packet(TCP, "eth0", "10.0.0.7:1", "10.8.3.4:443", app), VerdictOutbound, "output.capture.all"},
		{packet(TCP, "eth0", "10.0.0.7:1", "10.8.3.4:443", nil), VerdictOutbound, "output.capture.all"},
		{packet(UDP, "eth0", "10.0.0.7:1", "10.8.3.4:53", app), VerdictLeft, ""},
		{packet(UDP, "eth0", "10.0.0.7:1", "10.8.3.4:9000", app), VerdictLeft, "output.exempt.port"},
		{packet(TCP, "eth0", "10.0.0.7:1", "10.8.3.4:9000", proxy), VerdictLeft, "output.exempt.port"},
		{packet(TCP, "eth0", "10.0.0.7:1", "10.8.3.4:80", proxy), VerdictLeft, "output.identity.leave"},
		{packet(TCP, "lo", "10.0.0.7:1", "10.0.0.7:80", proxy), VerdictInbound, "output.identity.hairpin4"},
		{packet(TCP, "lo", "[fd00::7]:1", "[fd00::7]:80", proxy), VerdictInbound, "output.identity.hairpin6"},
		{packet(UDP, "lo", "10.0.0.7:1", "10.0.0.7:80", proxy), VerdictLeft, "output.identity.leave"},
		{packet(TCP, "lo", "127.0.0.6:1", "10.0.0.7:80", proxy), VerdictLeft, "output.passthrough.lo4"},
		{packet(TCP, "lo", "[::6]:1", "[fd00::7]:80", proxy), VerdictLeft, "output.passthrough.lo6"},
		{packet(TCP, "eth0", "10.0.0.7:1", "127.0.0.1:80", app), VerdictLeft, "output.loopback.dst4"},
		{packet(TCP, "eth0", "[fd00::7]:1", "[::1]:80", app), VerdictLeft, "output.loopback.dst6"},
	} {
		got := p.Eval(c.packet)
		if got.Verdict != c.verdict || got.Decided != c.decided {
			t.Errorf("%+v: %s by %q, want %s by %q", c.packet, got.Verdict, got.Decided, c.verdict, c.decided)
		}
		if n := len(got.Steps); c.decided != "" && (n == 0 || got.Steps[n-1].Rule.ID != c.decided || !got.Steps[n-1].Matched) {
			t.Errorf("%+v: the last step isn't the deciding rule", c.packet)
		}
	}
}

func TestCommentFitsAndNeverBreaksTheText(t *testing.T) {
	for _, c := range mustPlan(t, "-i * -b * -x 10.0.0.0/8 -c eth1 -o 1 --exclude-outbound-uids 1 --exclude-inbound-ip-ranges 1.2.3.4", dual()).Rules().Chains {
		for _, r := range c.Rules {
			if comment := r.Comment(); len(comment) > maxComment || strings.ContainsAny(comment, "\"\n\\") || !strings.HasPrefix(comment, r.ID+": ") {
				t.Errorf("comment %q", comment)
			}
		}
	}
}

// Rule ids name counters: two rules with one id would count together and hide each other from verify.
func TestRuleIDsAreUnique(t *testing.T) {
	for _, line := range []string{"-i * -b *", "-m TPROXY -b 80 -i 10.0.0.0/8 -k net0 -c eth1 --arming late --drop-invalid -q 1 -x 10.9.0.0/16", "-i * -b * -k net0 -c eth1 --arming late --drop-invalid --redirect-dns --capture-all-dns", "-i 127.0.0.0/8,::1,10.0.0.0/8,fd00::/8 -q 1 -b 1 -c a -o 1 -x 1.1.1.1,fd00::1 --exclude-outbound-uids 1 --exclude-inbound-ip-ranges 1.2.3.4,fd00::2"} {
		seen := map[string]bool{}
		for _, c := range mustPlan(t, line, dual()).Rules().Chains {
			for _, r := range c.Rules {
				if seen[r.ID] {
					t.Errorf("%s: two rules %s", line, r.ID)
				}
				seen[r.ID] = true
			}
		}
	}
}
