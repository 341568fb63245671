package capture

import (
	"encoding/json"
	"io"
	"net/netip"

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
			p = filled(p, system)
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

// filled is the plan with what its live sets hold now, as far as that can be read.
func filled(p *plan.Plan, system capture.System) *plan.Plan {
	if p.Mode != plan.Listed && !p.LateArming || system.Backends == nil || system.Backends.NFT == nil {
		return p
	}
	now := *p
	now.First = plan.Contents{}
	for _, name := range []string{plan.SetIn4, plan.SetIn6, plan.SetVIP4, plan.SetVIP6, plan.SetArmed} {
		elements, err := system.Backends.NFT.Elements(name)
		if err != nil {
			continue // the plan doesn't have it, or the rules are another backend's
		}
		for _, e := range elements {
			switch {
			case e.Proto != 0:
				now.First.Armed = append(now.First.Armed, e)
			case e.Port != 0:
				now.First.In = append(now.First.In, netip.AddrPortFrom(e.Addr, e.Port))
			default:
				now.First.Out = append(now.First.Out, e.Addr)
			}
		}
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
