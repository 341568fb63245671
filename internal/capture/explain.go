package capture

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"text/tabwriter"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// Live is what explain knows of the namespace beside the plan.
type Live struct {
	Source      string                 `json:"source"`             // of the plan: "flags", or the record's path
	Read        bool                   `json:"read"`               // the kernel let us read its rules
	Differences []plan.Difference      `json:"differences"`        // of its rules from the plan
	Counters    map[string]nft.Counter `json:"counters,omitempty"` // by rule id
}

// stages in the order packets pass them; the place is the number explain prints.
var stages = []plan.Stage{plan.StageScope, plan.StageExempt, plan.StagePassthrough, plan.StageIdentity, plan.StageDNS,
	plan.StageLoopback, plan.StageBypass, plan.StageCapture}

func number(s plan.Stage) int { return slices.Index(stages, s) }

// line is a rule as explain prints it. Matched is nil where no packet was asked about.
type line struct {
	Number  int        `json:"number"` // of the stage
	Stage   plan.Stage `json:"stage"`
	Rule    string     `json:"rule"`
	Matched *bool      `json:"matched,omitempty"`
	Match   string     `json:"match"`
	Do      string     `json:"do"`
	Reason  string     `json:"reason"`
	Packets *uint64    `json:"packets,omitempty"` // nil: they can't be read
}

func (l Live) line(r plan.Rule, matched *bool) line {
	out := line{Number: number(r.Stage), Stage: r.Stage, Rule: r.ID, Matched: matched, Match: orAll(r.Match()), Do: r.Do.String(), Reason: r.Reason}
	if l.Counters != nil {
		packets := l.Counters[r.ID].Packets
		out.Packets = &packets
	}
	return out
}

func orAll(match string) string {
	if match == "" {
		return "everything"
	}
	return match
}

func (l line) counted() string {
	if l.Packets == nil {
		return ""
	}
	return fmt.Sprintf("\t%d connections", *l.Packets)
}

// PlanText is the whole plan as explain shows it.
type PlanText struct {
	head
	Rules []line `json:"rules"`
}

// head says which plan is spoken of.
type head struct {
	Plan     string `json:"plan"` // fingerprint
	Mode     string `json:"mode"`
	Families string `json:"families"`
	In       string `json:"in"`
	Out      string `json:"out"`
	DNS      string `json:"dns"`
	Live     Live   `json:"live"`
}

func describePlan(p *plan.Plan, live Live) head {
	return head{Plan: p.Fingerprint(), Mode: string(p.Mode), Families: p.Families.String(), In: p.In.String(), Out: p.Out.String(), DNS: p.DNS.String(), Live: live}
}

func (h head) write(w io.Writer) {
	fmt.Fprintf(w, "plan %s of %s  mode %s  families %s  in %s  out %s  dns %s\n", h.Plan, h.Live.Source, h.Mode, h.Families, h.In, h.Out, h.DNS)
	switch {
	case h.Live.Read && h.Live.Counters == nil:
		fmt.Fprintln(w, "nothing is in force here: this is what it would be")
	case !h.Live.Read:
		fmt.Fprintln(w, "what is in the kernel couldn't be read (it wants NET_ADMIN): this is what the plan says")
	case len(h.Live.Differences) > 0:
		fmt.Fprintf(w, "the kernel holds something else, so the plan is not what happens: %d differences, first: %s\n", len(h.Live.Differences), h.Live.Differences[0])
	}
}

// ExplainPlan describes the plan stage by stage.
func ExplainPlan(p *plan.Plan, live Live) PlanText {
	text := PlanText{head: describePlan(p, live), Rules: []line{}}
	for _, chain := range p.Rules().Chains {
		for _, r := range chain.Rules {
			text.Rules = append(text.Rules, live.line(r, nil))
		}
	}
	return text
}

// Write prints it for people.
func (t PlanText) Write(w io.Writer) error {
	t.write(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range t.Rules {
		fmt.Fprintf(table, "%d %s\t%s\t%s\t%s\t%s%s\n", l.Number, l.Stage, l.Rule, l.Match, l.Do, l.Reason, l.counted())
	}
	return table.Flush()
}

// PacketText is a packet's way through the plan as explain shows it.
type PacketText struct {
	head
	Packet   string         `json:"packet"`
	Verdict  plan.Verdict   `json:"verdict"`
	Port     uint16         `json:"port"` // where the connection arrives
	Original netip.AddrPort `json:"originalDestination"`
	Decided  string         `json:"decided"`         // the rule's id, "" if none speaks of it
	Istio    string         `json:"istio,omitempty"` // the rule that decides in Istio's rules for this plan, if they can say it
	Steps    []line         `json:"steps"`
}

// ExplainPacket follows a packet through the plan.
func ExplainPacket(p *plan.Plan, packet plan.Packet, live Live) PacketText {
	trace := p.Eval(packet)
	answer := PacketText{head: describePlan(p, live), Packet: describePacket(packet), Verdict: trace.Verdict, Port: trace.Port,
		Original: trace.OrigDst, Decided: trace.Decided, Steps: []line{}}
	for _, step := range trace.Steps {
		answer.Steps = append(answer.Steps, live.line(step.Rule, &step.Matched))
	}
	answer.Istio = inIstio(p, packet)
	return answer
}

// inIstio is the rule that would decide in Istio's rules for this plan; "" if they can't say it, or no rule does.
func inIstio(p *plan.Plan, packet plan.Packet) string {
	files, err := text.Files(p, text.Istio)
	if err != nil {
		return ""
	}
	for _, f := range files {
		if f.V6 == packet.Dst.Addr().Is6() {
			way, err := f.Follow(packet)
			if err != nil || way.Rule == "" {
				return ""
			}
			return way.Rule + ", " + way.Target
		}
	}
	return ""
}

func describePacket(p plan.Packet) string {
	proto := map[uint8]string{plan.TCP: "tcp", plan.UDP: "udp"}[p.Proto]
	if p.Hook == plan.Prerouting {
		return fmt.Sprintf("%s from %s arrives for %s on %s", proto, endpoint(p.Src), p.Dst, p.In)
	}
	owner := "no socket of this pod"
	if p.Owner != nil {
		owner = fmt.Sprintf("uid %d gid %d", p.Owner.UID, p.Owner.GID)
	}
	return fmt.Sprintf("%s of %s from %s to %s over %s", proto, owner, endpoint(p.Src), p.Dst, p.Out)
}

// endpoint leaves out what nobody said.
func endpoint(a netip.AddrPort) string {
	switch {
	case a.Addr().IsUnspecified():
		return "anywhere"
	case a.Port() == 0:
		return a.Addr().String()
	default:
		return a.String()
	}
}

// Write prints it for people; the last line says what becomes of the packet.
func (t PacketText) Write(w io.Writer) error {
	t.write(w)
	fmt.Fprintln(w, t.Packet)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range t.Steps {
		mark := "-"
		if *l.Matched {
			mark = "MATCH"
		}
		fmt.Fprintf(table, "%d %s\t%s\t%s\t%s\t%s%s\n", l.Number, l.Stage, mark, l.Rule, l.Match, l.Reason, l.counted())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	inIstio := ""
	if t.Istio != "" {
		inIstio = "; in Istio's rules: " + t.Istio
	}
	_, err := fmt.Fprintln(w, t.verdict()+inIstio)
	return err
}

func (t PacketText) verdict() string {
	by := t.Decided
	if by == "" {
		by = "no rule speaks of it"
	}
	switch {
	case t.Verdict == plan.VerdictLeft:
		return fmt.Sprintf("direct: the proxy never sees this connection (%s)", by)
	case t.Port == 0:
		return fmt.Sprintf("%s (%s)", t.Verdict, by)
	default:
		return fmt.Sprintf("%s: goes to the proxy's port %d, original destination %s (%s)", t.Verdict, t.Port, t.Original, by)
	}
}
