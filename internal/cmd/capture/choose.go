package capture

import (
	"errors"
	"fmt"
	"io"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/ipt"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// choose picks the backend.
func (r *run) choose(system capture.System, p *plan.Plan) (capture.System, error) {
	if system.Backends == nil {
		return system, nil
	}
	system.Backends.Iptables = r.iptables
	system.Reconcile = r.command.Reconcile
	chosen, choice, err := system.Choose(capture.Ask{Backend: r.command.Backend, Variant: ipt.Variant(r.command.Binary)})
	switch {
	case err != nil && (r.command.Name == "explain" || r.command.Probe):
		return chosen, nil // what rules mean can be said, and tried, without reading them
	case errors.Is(err, plan.ErrNoBackend):
		return system, err
	case err != nil:
		return system, kernel(err)
	}
	r.choice = choice
	return chosen, r.speaks(p)
}

// speaks holds the plan against the dialect it's to be written in.
func (r *run) speaks(p *plan.Plan) error {
	dialect := text.Dialect(r.command.Dialect)
	if r.choice.Iptables() {
		_, err := text.Files(p, dialect)
		return err
	}
	if dialect != text.Pillion {
		r.warn(fmt.Sprintf("--dialect %s has an effect only on backend iptables", dialect))
	}
	return nil
}

// iptables is the backend of one of its variants.
func (r *run) iptables(variant ipt.Variant) (*ipt.Backend, error) {
	programs, err := ipt.Find(variant, ipt.Dirs())
	if err != nil {
		return nil, err
	}
	outside := ipt.Outside{Run: ipt.Exec(r.command.OwnLock), Present: ipt.Present}
	return ipt.New(programs, text.Dialect(r.command.Dialect), outside), nil
}

// chosen puts the backend into the evidence, which may have become another one meanwhile.
func (r *run) chosen() {
	if r.choice != nil {
		r.evidence.Backend, r.evidence.Why = r.choice.Name(), r.choice.Why()
		if r.choice.Iptables() {
			r.evidence.Dialect = r.command.Dialect
		}
	}
}

// print shows what the backend would be given.
func (r *run) print(p *plan.Plan) error {
	rules := p.Rules().Text("dry run, plan=" + p.Fingerprint())
	if r.choice != nil && r.choice.Iptables() {
		files, err := text.Files(p, text.Dialect(r.command.Dialect))
		if err != nil {
			return err
		}
		rules = text.RestoreText(files)
	}
	_, err := io.WriteString(r.stdout, rules)
	return err
}

// listing shows the plan as iptables -S would.
func (r *run) listing(p *plan.Plan, dialect string) error {
	files, err := text.Shown(p, text.Dialect(dialect))
	if err != nil {
		return err
	}
	_, err = io.WriteString(r.stdout, text.Listing(files))
	return err
}
