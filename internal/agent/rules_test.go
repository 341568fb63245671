package agent

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/ops/exposition"
)

type fixedRules RulesReport

func (f fixedRules) Look() RulesReport { return RulesReport(f) }

func (f fixedRules) Keep(context.Context, func() bool) error { return nil }

func TestRulesAreToldAndMeasured(t *testing.T) {
	known := RulesReport{Backend: "nftables", Mode: "all", Plan: "9f2c01d27a55e0b3"}
	unread := known
	unread.Why = "the kernel wants CAP_NET_ADMIN"
	read := known
	read.Read, read.Drift = true, []string{"missing: rule output.capture.all"}
	read.Sets = map[string]int{"armed": 2}
	read.Rules = []RuleCount{{Hook: "output", Stage: "bypass", Rule: "output.bypass.dst4", Verdict: "left", Packets: 3, Bytes: 180}}
	for name, row := range map[string]struct {
		report        RulesReport
		says, metrics []string
		without       string // of metrics
	}{
		"no record": {RulesReport{Why: "capture.json doesn't exist"}, []string{"no record of capture: capture.json doesn't exist"}, nil, "pillion_capture"},
		"unread": {unread, []string{"backend nftables, mode all", "weren't read: the kernel wants CAP_NET_ADMIN"},
			[]string{`pillion_capture_info{backend="nftables",mode="all",plan="9f2c01d27a55e0b3"} 1`}, "pillion_capture_drift"},
		"read": {read, []string{"1 differences", "missing: rule output.capture.all", "output.bypass.dst4", "left", "live set armed: 2 elements"},
			[]string{"pillion_capture_drift 1", `pillion_capture_set_elements{set="armed"} 2`, `pillion_capture_packets_total{hook="output",stage="bypass",rule="output.bypass.dst4",verdict="left"} 3`,
				`pillion_capture_bytes_total{hook="output",stage="bypass",rule="output.bypass.dst4",verdict="left"} 180`}, "absent"},
	} {
		t.Run(name, func(t *testing.T) {
			var page bytes.Buffer
			(&Agent{rules: fixedRules(row.report)}).rulesMetrics(exposition.NewWriter(&page))
			contains(t, row.report.String(), row.says)
			contains(t, page.String(), row.metrics)
			if strings.Contains(page.String(), row.without) {
				t.Errorf("the page has %s: %s", row.without, &page)
			}
		})
	}
}

func contains(t *testing.T, text string, parts []string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q isn't in\n%s", part, text)
		}
	}
}
