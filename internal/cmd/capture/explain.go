package capture

import (
	"encoding/json"
	"io"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// explain says what the plan is, or what it makes of one packet. Without flags that shape a plan, the plan is the one
// that apply recorded.
func (r *run) explain(system capture.System, p *plan.Plan) error {
	live := capture.Live{Source: "flags", Differences: []plan.Difference{}}
	if record, err := capture.Load(r.command.Record); err == nil && !r.command.Shaped {
		p, live.Source = record.Plan, r.command.Record
	}
	switch r.command.As {
	case "nftables":
		_, err := io.WriteString(r.stdout, p.Rules().Text("plan="+p.Fingerprint()))
		return err
	case "plan":
		return r.json(p)
	case "":
	default:
		return r.listing(p, r.command.As)
	}
	if differences, result, err := system.Diff(p); err == nil { // what the plan means can be said without the kernel
		live.Read = true
		live.Differences = append(live.Differences, differences...)
		if len(result.Counters) > 0 {
			live.Counters = result.Counters
			p = r.filled(p)
		}
	}
	if len(r.command.Positional) == 0 && !r.command.Query.Asked() {
		return r.show(capture.ExplainPlan(p, live))
	}
	own, _ := system.Links.Addresses() // none: the question must say more
	packet, err := capture.Packet(r.command.Positional, r.command.Query, own)
	if err != nil {
		return err
	}
	return r.show(capture.ExplainPacket(p, packet, live))
}

// filled is the plan with what its live sets hold now, as far as that can be read: a dialect that isn't ours has none.
func (r *run) filled(p *plan.Plan) *plan.Plan {
	if r.choice == nil || p.Mode != plan.Listed && !p.LateArming {
		return p
	}
	now := *p
	now.First = plan.Contents{}
	for _, set := range p.Rules().Sets {
		if !set.Live {
			continue
		}
		elements, err := r.choice.Elements(set.Name)
		if err != nil {
			elements = set.First
		}
		now.First.Add(elements)
	}
	return &now
}

// show prints an answer in the form that was asked for.
func (r *run) show(answer interface{ Write(io.Writer) error }) error {
	if r.command.Output == "json" {
		return r.json(answer)
	}
	return answer.Write(r.stdout)
}

func (r *run) json(v any) error {
	encoder := json.NewEncoder(r.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
