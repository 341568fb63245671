package capture

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/probe"
)

// proof is what verify found: how the kernel differs from the plan, and what probes saw.
type proof struct {
	Differences differenceList `json:"differences"`
	Probes      []probe.Result `json:"probes,omitempty"`
}

// Write prints one line a difference, and one a probe.
func (p proof) Write(w io.Writer) error {
	err := p.Differences.Write(w)
	for _, result := range p.Probes {
		if err == nil {
			_, err = fmt.Fprintln(w, result)
		}
	}
	return err
}

// verify prints every difference and changes nothing. Without the right to read the rules only probes can tell.
func (r *run) verify(system capture.System, p *plan.Plan) error {
	differences, result, err := system.Diff(p)
	unread := r.command.Probe && errors.Is(err, nft.ErrPermission)
	if err != nil && !unread {
		return kernel(err)
	}
	if unread {
		r.warn("the rules themselves weren't compared, for that wants NET_ADMIN: only probes were made")
	}
	r.foreign(result.Foreign)
	r.warn(result.Warnings...)
	found := proof{Differences: differences}
	if r.command.Probe {
		if found.Probes, err = r.probe(system, p); err != nil {
			return err
		}
	}
	if err := r.show(found); err != nil {
		return err
	}
	return r.judge(found, p)
}

func (r *run) probe(system capture.System, p *plan.Plan) ([]probe.Result, error) {
	own, err := system.Links.Addresses()
	if err != nil {
		return nil, kernel(err)
	}
	results := probe.Run(r.filled(p), probe.Options{Port: r.command.ProbePort, Timeout: r.command.ProbeTimeout, Own: own})
	for _, result := range results {
		if result.Outcome == probe.NotProbed {
			r.warn(result.String())
		}
	}
	return results, nil
}

// judge decides what the run ends with.
func (r *run) judge(found proof, p *plan.Plan) error {
	var failed []string
	for _, d := range found.Differences {
		failed = append(failed, d.String())
	}
	for _, result := range found.Probes {
		if result.Outcome == probe.Failed {
			failed = append(failed, result.String())
		}
	}
	if len(failed) > 0 {
		r.evidence.Result = capture.ResultDiffers
		return fmt.Errorf("%w: %d differences, first: %s", errVerify, len(failed), failed[0])
	}
	if r.evidence.Result == "" {
		r.evidence.Result = capture.ResultVerified
	}
	r.record = p
	return nil
}

// differenceList prints differences one a line, and an empty JSON list if there are none.
type differenceList []plan.Difference

func (l differenceList) Write(w io.Writer) error {
	for _, d := range l {
		if _, err := fmt.Fprintln(w, d); err != nil {
			return err
		}
	}
	return nil
}

// MarshalJSON writes a list even if there is none.
func (l differenceList) MarshalJSON() ([]byte, error) {
	return json.Marshal(append([]plan.Difference{}, l...))
}
