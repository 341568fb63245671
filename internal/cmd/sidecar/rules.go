package sidecar

import (
	"errors"
	"io/fs"
	"sync"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/version"
)

// rules are those that capture left a record of. Without NET_ADMIN the kernel shows them to nobody. Whoever runs it is
// in the pod's network namespace with all threads, or calls from one that is.
type rules struct {
	record    string // path
	sockets   string // the folder for capture.sock
	failOpen  bool   // when the sidecar ends, what was armed late isn't any more
	namespace string // to enter; "": we're in it
	log       logr.Logger

	mu     sync.Mutex
	denied bool // the kernel said so; this process gets no more rights than it has
}

// Look is agent.Rules'.
func (r *rules) Look() agent.RulesReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	record, err := capture.Load(r.record)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return agent.RulesReport{Why: r.record + " doesn't exist"}
	case err != nil || record.Plan == nil:
		return agent.RulesReport{Why: "it can't be read: " + text(err)}
	}
	report := agent.RulesReport{Backend: record.Evidence.Backend, Mode: record.Evidence.Mode, Plan: record.Evidence.Plan}
	if err := r.read(record, &report); err != nil {
		report.Why = err.Error()
	}
	return report
}

func text(err error) string {
	if err == nil {
		return "it has no plan"
	}
	return err.Error()
}

// read fills in what the kernel holds.
func (r *rules) read(record capture.Record, report *agent.RulesReport) error {
	if r.denied {
		return nft.ErrPermission
	}
	seen, err := capture.Observe(record, version.Version)
	if errors.Is(err, nft.ErrPermission) {
		r.denied = true
	}
	if err != nil {
		return err
	}
	report.Read = true
	for _, d := range seen.Differences {
		report.Drift = append(report.Drift, d.String())
	}
	report.Rules = counted(record.Plan, seen.Counters)
	report.Sets = seen.Elements
	return nil
}

// counted are the plan's rules with what the kernel counted, in order.
func counted(p *plan.Plan, counters map[string]nft.Counter) []agent.RuleCount {
	var all []agent.RuleCount
	for _, chain := range p.Rules().Chains {
		for _, rule := range chain.Rules {
			c, ok := counters[rule.ID]
			if !ok {
				continue
			}
			all = append(all, agent.RuleCount{Hook: string(chain.Hook), Stage: string(rule.Stage), Rule: rule.ID, Verdict: verdict(rule.Do),
				Packets: c.Packets, Bytes: c.Bytes})
		}
	}
	return all
}

// verdict is what a rule does with a packet.
func verdict(do plan.Action) string {
	switch {
	case do.To != "":
		return string(do.To)
	case do.Kind == plan.DoDrop:
		return string(plan.VerdictDropped)
	case do.Kind == plan.DoReturn:
		return string(plan.VerdictLeft)
	}
	return "next"
}
