package capture

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// watch applies, leaves its evidence, and then a line for each repair, until it is told to end.
func (r *run) watch(system capture.System, p *plan.Plan) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := r.note(system.Apply(p, r.command.Force)); err != nil {
		return err
	}
	r.record = p
	if r.command.Record != "" && r.save(r.stderr) != exitDone {
		return errRecord
	}
	if err := r.evidence.Write(r.stderr); err != nil {
		return err
	}
	r.record = nil // it is written
	err := system.Watch(ctx, p, r.repaired)
	r.evidence.Result, r.evidence.Changed = capture.ResultWatched, 0
	return kernel(err)
}

// repaired leaves one line for what another program did.
func (r *run) repaired(repair capture.Repair) {
	line := r.evidence
	line.Result, line.Changed, line.Warnings = capture.ResultRepaired, repair.Result.Changed, []string{}
	for _, d := range repair.Found[:min(len(repair.Found), maxFound)] {
		line.Warnings = append(line.Warnings, d.String())
	}
	if repair.Err != nil {
		line.Result, line.Error = capture.ResultFailed, repair.Err.Error()
	}
	_ = line.Write(r.stderr) // nobody to tell
}

// maxFound bounds the differences in a line of evidence.
const maxFound = 10
