package capture

import (
	"errors"
	"fmt"
	"io"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Errors that only decide the exit code; what they stand for was printed line by line.
var (
	errVerify = errors.New("the rules are not what the plan says")
	errDiff   = errors.New("apply would change this")
	errKernel = errors.New("the kernel refused")
	errRecord = errors.New("the rules are in force, but the record couldn't be written")
)

// run is one execution: the command, and what it leaves.
type run struct {
	command  *plan.Command
	stdout   io.Writer
	stderr   io.Writer // of watch, which writes while it runs
	open     func() (capture.System, func(), error)
	evidence capture.Evidence
	record   *plan.Plan // what to leave for the agent, once all went well
	choice   *capture.Choice
}

// do runs in the network namespace it is about.
func (r *run) do() error {
	system, done, err := r.open()
	if err != nil {
		return kernel(err)
	}
	defer done()
	p := capture.Nothing()
	if r.command.Name != "clean" {
		if p, err = r.plan(system); err != nil {
			return err
		}
	}
	system, err = r.choose(system, p)
	defer r.chosen()
	if err != nil {
		return err
	}
	switch r.command.Name {
	case "clean":
		return r.clean(system)
	case "verify":
		return r.verify(system, p)
	case "diff":
		return r.diff(system, p)
	case "watch":
		return r.watch(system, p)
	case "explain":
		return r.explain(system, p)
	default:
		return r.apply(system, p)
	}
}

// kernel marks an error as the kernel's, not the user's.
func kernel(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errKernel, err)
}

func (r *run) plan(system capture.System) (*plan.Plan, error) {
	families, warnings, err := capture.Families(r.command.Options.Families, system.Links)
	if err != nil {
		return nil, kernel(err)
	}
	options := r.command.Options
	if len(warnings) > 0 && len(options.PodIPs) > 0 {
		families, warnings = capture.FamiliesOf(options.PodIPs), nil // no interface tells, but the user does
	}
	if options.Mode == plan.Listed && len(options.PodIPs) == 0 {
		if options.PodIPs, err = capture.PodIPs(system.Links, families); err != nil {
			return nil, kernel(err)
		}
	}
	p, more, err := plan.New(options, families)
	if err != nil {
		return nil, err
	}
	r.evidence.Describe(p)
	r.warn(r.command.Warnings...)
	r.warn(warnings...)
	r.warn(more...)
	return p, nil
}

func (r *run) warn(texts ...string) { r.evidence.Warnings = append(r.evidence.Warnings, texts...) }

func (r *run) apply(system capture.System, p *plan.Plan) error {
	switch {
	case r.command.DryRun:
		r.evidence.Result = capture.ResultDryRun
		return r.print(p)
	case r.command.SkipApply && r.command.Validate:
		return r.verify(system, p)
	case r.command.SkipApply:
		r.warn("--skip-rule-apply without --run-validation: nothing was done")
		r.evidence.Result = capture.ResultUnchanged
		return nil
	}
	if err := r.note(system.Apply(p, r.command.Force)); err != nil {
		return err
	}
	if r.command.Validate {
		return r.verify(system, p)
	}
	r.record = p
	return nil
}

func (r *run) clean(system capture.System) error {
	nothing := capture.Nothing()
	r.evidence.Describe(nothing)
	if err := r.note(system.Apply(nothing, false)); err != nil {
		return err
	}
	r.record = nothing
	if r.evidence.Changed > 0 {
		r.evidence.Result = capture.ResultCleaned
	}
	return nil
}

// note puts a run's result into the evidence.
func (r *run) note(result capture.Result, err error) error {
	r.foreign(result.Foreign)
	r.warn(result.Warnings...)
	if err != nil {
		return kernel(err)
	}
	r.evidence.Changed, r.evidence.Result = result.Changed, capture.ResultUnchanged
	if result.Changed > 0 || r.command.Force {
		r.evidence.Result = capture.ResultApplied
	}
	return nil
}

func (r *run) foreign(foreign []string) {
	if len(foreign) > 0 {
		r.evidence.Foreign = foreign
		r.warn("others redirect connections in this namespace too: see foreign")
	}
}

func (r *run) diff(system capture.System, p *plan.Plan) error {
	differences, result, err := system.Diff(p)
	if err != nil {
		return kernel(err)
	}
	r.foreign(result.Foreign)
	r.warn(result.Warnings...)
	if err := r.show(differenceList(differences)); err != nil {
		return err
	}
	r.evidence.Result = capture.ResultUnchanged
	if len(differences) > 0 {
		r.evidence.Result = capture.ResultDiffers
		return errDiff
	}
	return nil
}
