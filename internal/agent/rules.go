package agent

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/ops"
	"github.com/pillion-mesh/pillion/internal/ops/exposition"
)

// Rules are the pod's capture rules, as far as the agent may know them.
type Rules interface {
	Look() RulesReport
	// Keep keeps them true until ctx ends, as far as this process may: it repairs what others change, and fills the live
	// sets of a plan that has some. accepting says that the proxy takes connections. The error is why the plan can't
	// become true, which is the end of the agent.
	Keep(ctx context.Context, accepting func() bool) error
}

// RulesReport is what capture did, by its record, and what the kernel holds of it now.
type RulesReport struct {
	Backend string      `json:"backend"` // "": capture left no record
	Mode    string      `json:"mode"`
	Plan    string      `json:"plan"`            // fingerprint
	Read    bool        `json:"read"`            // what follows was read from the kernel, which wants NET_ADMIN
	Why     string      `json:"why,omitempty"`   // it wasn't
	Drift   []string    `json:"drift,omitempty"` // what differs from the record, a line each
	Rules   []RuleCount `json:"rules,omitempty"`

	Sets map[string]int `json:"sets,omitempty"` // elements of live sets
}

// RuleCount is what one rule counted. Rules of type nat count connections, others packets.
type RuleCount struct {
	Hook    string `json:"hook"`
	Stage   string `json:"stage"`
	Rule    string `json:"rule"` // hook.stage.what
	Verdict string `json:"verdict"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// keepRules keeps them; lost gets why they can't be.
func (a *Agent) keepRules(ctx context.Context, lost chan<- error) {
	if a.rules == nil {
		return
	}
	if err := a.rules.Keep(ctx, func() bool { return a.facts().Accepting }); err != nil {
		lost <- fmt.Errorf("keeping capture's rules: %w", err)
	}
}

func (a *Agent) rulesMetrics(w *exposition.Writer) {
	if a.rules == nil {
		return
	}
	r := a.rules.Look()
	if r.Backend == "" {
		return
	}
	w.Family("pillion_capture_info", exposition.Gauge, "What capture programmed, by its record.")
	w.Sample("pillion_capture_info", 1, "backend", r.Backend, "mode", r.Mode, "plan", r.Plan)
	if !r.Read {
		return
	}
	w.Gauge("pillion_capture_drift", "Rules, lists and addresses that differ from what capture programmed.", float64(len(r.Drift)))
	w.Family("pillion_capture_packets_total", exposition.Counter, "Packets that a rule decided about; of rules that capture, connections.")
	for _, c := range r.Rules {
		w.Sample("pillion_capture_packets_total", float64(c.Packets), "hook", c.Hook, "stage", c.Stage, "rule", c.Rule, "verdict", c.Verdict)
	}
	w.Family("pillion_capture_set_elements", exposition.Gauge, "Elements of a live set.")
	for _, name := range slices.Sorted(maps.Keys(r.Sets)) {
		w.Sample("pillion_capture_set_elements", float64(r.Sets[name]), "set", name)
	}
	w.Family("pillion_capture_bytes_total", exposition.Counter, "Bytes of them.")
	for _, c := range r.Rules {
		w.Sample("pillion_capture_bytes_total", float64(c.Bytes), "hook", c.Hook, "stage", c.Stage, "rule", c.Rule, "verdict", c.Verdict)
	}
}

// capture is GET /capture.
func (a *Agent) capture(w http.ResponseWriter, r *http.Request) {
	report := RulesReport{Why: "this agent doesn't look at rules"}
	if a.rules != nil {
		report = a.rules.Look()
	}
	if ops.WantsJSON(r) {
		ops.JSON(w, report)
		return
	}
	ops.Text(w, report.String())
}

// String is for people: a line about the whole, one a difference, and a table of rules.
func (r RulesReport) String() string {
	var b strings.Builder
	switch {
	case r.Backend == "":
		fmt.Fprintf(&b, "no record of capture: %s\n", r.Why)
		return b.String()
	case !r.Read:
		fmt.Fprintf(&b, "backend %s, mode %s, plan %s by capture's record; the kernel's rules weren't read: %s\n", r.Backend, r.Mode, r.Plan, r.Why)
		return b.String()
	}
	fmt.Fprintf(&b, "backend %s, mode %s, plan %s; in the kernel: %d differences\n", r.Backend, r.Mode, r.Plan, len(r.Drift))
	for _, d := range r.Drift {
		fmt.Fprintln(&b, " ", d)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Sets)) {
		fmt.Fprintf(&b, "live set %s: %d elements\n", name, r.Sets[name])
	}
	fmt.Fprintf(&b, "%-36s %-10s %12s %14s\n", "RULE", "VERDICT", "PACKETS", "BYTES")
	for _, c := range r.Rules {
		fmt.Fprintf(&b, "%-36s %-10s %12d %14d\n", c.Rule, c.Verdict, c.Packets, c.Bytes)
	}
	return b.String()
}
