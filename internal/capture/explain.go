package capture

import (
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// ExplainPlan writes the plan stage by stage. counters may be nil: they can't be read without NET_ADMIN.
func ExplainPlan(w io.Writer, p *plan.Plan, counters map[string]nft.Counter) error {
	fmt.Fprintf(w, "plan %s  mode %s  families %s  in %s  out %s\n", p.Fingerprint(), p.Mode, p.Families, p.In, p.Out)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, chain := range p.Rules().Chains {
		for _, r := range chain.Rules {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s%s\n", r.ID, orAll(r.Match()), r.Do, r.Reason, counted(counters, r.ID))
		}
	}
	return table.Flush()
}

func orAll(match string) string {
	if match == "" {
		return "everything"
	}
	return match
}

func counted(counters map[string]nft.Counter, id string) string {
	if counters == nil {
		return ""
	}
	return fmt.Sprintf("\t%d connections", counters[id].Packets)
}

// ExplainPacket writes a packet's way through the rules and ends with what becomes of it.
func ExplainPacket(w io.Writer, trace plan.Trace, counters map[string]nft.Counter) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, step := range trace.Steps {
		mark := "-"
		if step.Matched {
			mark = "MATCH"
		}
		r := step.Rule
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s%s\n", r.Stage, mark, r.ID, orAll(r.Match()), r.Reason, counted(counters, r.ID))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, verdict(trace))
	return err
}

func verdict(trace plan.Trace) string {
	by := trace.Decided
	if by == "" {
		by = "no rule speaks of it"
	}
	if trace.Verdict == plan.VerdictLeft {
		return fmt.Sprintf("direct: the proxy never sees this connection (%s)", by)
	}
	return fmt.Sprintf("%s: goes to the proxy's port %d, original destination %s (%s)", trace.Verdict, trace.Port, trace.OrigDst, by)
}

// Packet makes the packet explain was asked about: positional "tcp SRC DST" and flags. An application's connection
// takes lo if it stays within the pod, else eth0; --iface says otherwise.
func Packet(args []string, q plan.Query) (plan.Packet, error) {
	if len(args) != 3 || (args[0] != "tcp" && args[0] != "udp") {
		return plan.Packet{}, fmt.Errorf("arguments %q: want tcp|udp SOURCE:PORT DESTINATION:PORT", args)
	}
	src, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return plan.Packet{}, fmt.Errorf("source %q: want ADDRESS:PORT", args[1])
	}
	dst, err := netip.ParseAddrPort(args[2])
	if err != nil || dst.Addr().Is4() != src.Addr().Is4() {
		return plan.Packet{}, fmt.Errorf("destination %q: want ADDRESS:PORT of the source's family", args[2])
	}
	packet := plan.Packet{Hook: plan.Output, Proto: plan.TCP, Src: src, Dst: dst}
	if args[0] == "udp" {
		packet.Proto = plan.UDP
	}
	iface := q.Interface
	if iface == "" {
		iface = "eth0"
		if src.Addr() == dst.Addr() || dst.Addr().IsLoopback() {
			iface = "lo"
		}
	}
	if q.Inbound {
		packet.Hook, packet.In = plan.Prerouting, iface
		return packet, nil
	}
	packet.Out, packet.Owner = iface, &plan.Owner{UID: q.UID, GID: q.GID}
	return packet, nil
}
