package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBypass(t *testing.T) {
	for text, want := range map[string]Bypass{
		"out tcp port 9000-9100 to 10.0.0.0/8 uid 106-108 because backups, at night": {
			Hook: Output, Proto: TCP, Ports: []Range{{9000, 9100}}, To: prefixes4("10.0.0.0/8"), UIDs: []Range{{106, 108}}, Reason: "--bypass: backups, at night",
		},
		"in from fd00::/8,10.1.2.3 iface eth1,eth0": {
			Hook: Prerouting, From: prefixes4("10.1.2.3/32", "fd00::/8"), Interfaces: []string{"eth0", "eth1"}, Reason: "--bypass",
		},
		"out gid 5 udp": {Hook: Output, Proto: UDP, GIDs: []Range{{5, 5}}, Reason: "--bypass"},
	} {
		got, err := parseBypass(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if d := cmp.Diff(want, got, compare()); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
}

func TestBypassRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"sideways tcp":               `want "in" or "out"`,
		"out":                        "leaves everything alone",
		"out because I can":          "leaves everything alone",
		"out port":                   `"port" has nothing behind it`,
		"out port 0":                 `"0" is not a number from 1 to 65535`,
		"out port 1 port 2":          `"port" stands there twice`,
		"out tcp udp":                "leave both out to mean both",
		"out too 10.0.0.0/8":         `"too" is unknown`,
		"out tcp because ":           "want 1 to 80 plain characters",
		"out tcp because \"quoted\"": "without quotes",
		"out tcp because " + strings.Repeat("x", 81): "want 1 to 80 plain characters",
		"in uid 5": "packets that arrive have no owner",
	} {
		if _, err := parseBypass(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestBypassIsRepeatable(t *testing.T) {
	c, err := Parse([]string{"--bypass", "out tcp port 1; in from 10.0.0.1", "--bypass", "out uid 7"}, Environment{})
	if err != nil || len(c.Options.Bypass) != 3 {
		t.Errorf("%v, %v", c, err)
	}
	_, err = Parse([]string{"--bypass", strings.Repeat("out uid 7;", 65)}, Environment{})
	if err == nil || !strings.Contains(err.Error(), "65 rules are more than the 64 allowed") {
		t.Error(err)
	}
}

// Rules the user wrote, and owner groups by name, in one plan.
func TestGoldenOwnersAndBypass(t *testing.T) {
	c, err := Parse([]string{
		"-i", "*", "-b", "*", "--bypass", "out tcp port 9000-9100 to 10.0.0.0/8,fd00::/8 uid 106-108 because backups",
		"--bypass", "in from 10.1.0.0/16 port 22;out gid 5 iface eth1",
	}, Environment{
		Vars:        map[string]string{"ISTIO_OUTBOUND_OWNER_GROUPS": "app,1001", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "202"},
		LookupGroup: func(name string) (uint32, bool) { return 1000, name == "app" },
	})
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := New(c.Options, dual())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "owners.nft", p.Rules().Text("golden"))
	again, err := Parse(Args(c.Options), Environment{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c.Options.Bypass, again.Options.Bypass, compare()); d != "" {
		t.Error(d)
	}
}
