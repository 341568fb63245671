package exposition

import (
	"bytes"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestRealParser: what is written means what was said, to the parser Prometheus uses.
func TestRealParser(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	w.Counter("plain_total", "A help text with a \\ and a\nline break.", 1<<53)
	w.Family("labelled", Gauge, "")
	w.Sample("labelled", -1.5, "a", `quote " backslash \ line`+"\n", "b", "")
	w.Sample("labelled", 0.000001, "a", "2", "b", "3")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, b.String())
	}
	plain := families["plain_total"]
	if got := plain.Metric[0].GetCounter().GetValue(); got != 1<<53 {
		t.Errorf("plain_total is %v", got)
	}
	if got := plain.GetHelp(); got != "A help text with a \\ and a\nline break." {
		t.Errorf("help %q", got)
	}
	first := families["labelled"].Metric[0]
	if got := first.GetGauge().GetValue(); got != -1.5 {
		t.Errorf("labelled is %v", got)
	}
	if got := first.Label[0].GetValue(); got != `quote " backslash \ line`+"\n" {
		t.Errorf("label %q", got)
	}
	if n := len(families["labelled"].Metric); n != 2 {
		t.Errorf("%d samples", n)
	}
}
