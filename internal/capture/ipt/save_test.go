package ipt

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

func TestWords(t *testing.T) {
	for spec, want := range map[string][]string{
		"":                          nil,
		"-p tcp  -j X":              {"-p", "tcp", "-j", "X"},
		`--comment "a b" -j X`:      {"--comment", "a b", "-j", "X"},
		`--comment "a.b"`:           {"--comment", "a.b"},
		`--comment a.b`:             {"--comment", "a.b"},
		`--comment "" -j X`:         {"--comment", "", "-j", "X"},
		`--comment "say \"no\" \\"`: {"--comment", `say "no" \`},
		`--comment "never ends -j`:  {"--comment", "never ends -j"},
	} {
		if d := cmp.Diff(want, words(spec)); d != "" {
			t.Errorf("%s: %s", spec, d)
		}
	}
}

// A comment that reads like the end of a rule is no end of a rule, and others' rules aren't ours.
func TestParse(t *testing.T) {
	got := parse(strings.Join([]string{
		"# Generated", "*nat", ":PREROUTING ACCEPT [7:8]", ":ISTIO_OUTPUT - [0:0]", ":MINE - [0:0]",
		"[3:180] -A PREROUTING -p tcp -j ISTIO_INBOUND",
		`-A PREROUTING -p tcp -m comment --comment "to -j ISTIO_INBOUND" -j MINE`,
		"[1:2] -A MINE -j ISTIO_OUTPUT",
		"-A MINE -p udp -j DNAT --to-destination 1.2.3.4",
		"[5:6] -A ISTIO_OUTPUT -g ISTIO_REDIRECT",
		"COMMIT", "*filter", ":INPUT DROP [0:0]", "-A INPUT -j REJECT", "COMMIT",
	}, "\n"))
	r := func(packets, bytes uint64, spec string) rule {
		return rule{spec: spec, words: words(spec), counter: nft.Counter{Packets: packets, Bytes: bytes}}
	}
	want := []table{
		{name: "nat", others: []string{"MINE"}, chains: []chain{
			{name: "PREROUTING", rules: []rule{r(3, 180, "-p tcp -j ISTIO_INBOUND")}},
			{name: "ISTIO_OUTPUT", rules: []rule{r(5, 6, "-g ISTIO_REDIRECT")}},
		}},
		{name: "filter", chains: []chain{{name: "INPUT"}}},
	}
	if d := cmp.Diff(want, got.tables, cmp.AllowUnexported(table{}, chain{}, rule{}), cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

// Whatever iptables-save prints, or something in its place: no panic, and what is written then names ours alone.
func FuzzParse(f *testing.F) {
	f.Add("*nat\n:ISTIO_OUTPUT - [0:0]\n[1:2] -A OUTPUT -j ISTIO_OUTPUT\n-A ISTIO_OUTPUT -m comment --comment \"live.in4\"\nCOMMIT\n")
	f.Add("*nat\n-A OUTPUT -m comment --comment \"a\\\"")
	p := &plan.Plan{Families: plan.Families{V4: true}, In: plan.Inbound{Via: plan.Redirect, Ports: plan.Ports{All: true}}, Out: plan.Outbound{Via: plan.None}}
	files, err := text.Files(p, text.Pillion)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, out string) {
		s := parse(out)
		c := &comparison{program: "iptables", have: s, counters: map[string]nft.Counter{}}
		c.file(files[0])
		s.live("x", "in4")
		for line := range strings.Lines(s.restore(files[0])) {
			line = strings.TrimSpace(line)
			if name, isChain := strings.CutPrefix(line, ":"); isChain && !text.Ours(name) {
				t.Errorf("a chain of others is emptied: %s", line)
			}
			if name, isDeleted := strings.CutPrefix(line, "-X "); isDeleted && !text.Ours(name) {
				t.Errorf("a chain of others is deleted: %s", line)
			}
		}
	})
}
