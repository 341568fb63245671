package text

import (
	"fmt"
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

const leave = "-j RETURN"

// targets are the right sides of a rule's lines.
func (w *writer) targets(table string, do plan.Action, m match) ([]string, error) {
	switch do.Kind {
	case plan.DoReturn:
		return []string{leave}, nil
	case plan.DoDrop:
		return []string{"-j DROP"}, nil
	case plan.DoZone:
		return []string{fmt.Sprintf("-j CT --zone %d", do.Zone)}, nil // a later one has no effect
	case plan.DoMark:
		return []string{w.divert(table, do.Mark)}, nil
	case plan.DoSaveMark:
		return []string{"-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff", leave}, nil
	case plan.DoRestoreMark:
		return []string{"-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff", leave}, nil
	}
	if m.proto == "" {
		return nil, fmt.Errorf("action %q needs a protocol", do)
	}
	switch do.Kind {
	case plan.DoRedirect:
		return []string{w.redirect(do, m)}, nil
	case plan.DoDNAT:
		return []string{dnat(netip.AddrPortFrom(do.Addr, do.Port))}, nil
	case plan.DoTProxy:
		return []string{fmt.Sprintf("-j TPROXY --on-port %d --on-ip %s --tproxy-mark 0x%x/0xffffffff", do.Port, w.any(), do.Mark)}, nil
	}
	return nil, fmt.Errorf("action %q is unknown here", do)
}

// redirect leads to the proxy. Both ways have a chain of their own, so that a listing reads like Istio's.
func (w *writer) redirect(do plan.Action, m match) string {
	name := map[plan.Verdict]string{plan.VerdictInbound: inRedirect, plan.VerdictOutbound: redirect}[do.To]
	if name == "" || m.proto != "tcp" {
		return fmt.Sprintf("-j REDIRECT --to-ports %d", do.Port)
	}
	if c := w.chain(nat, name); len(c.Rules) == 0 {
		id := string(do.To) + ".redirect"
		w.add(nat, name, id, "-p tcp", comment(id), fmt.Sprintf("-j REDIRECT --to-ports %d", do.Port))
	}
	return "-j " + name
}

// divert marks packets and lets them go: a mark alone would not end their way.
func (w *writer) divert(table string, mark uint32) string {
	if c := w.chain(table, divert); len(c.Rules) == 0 {
		w.add(table, divert, "divert.mark", comment("divert.mark"), fmt.Sprintf("-j MARK --set-xmark 0x%x/0xffffffff", mark))
		w.add(table, divert, "divert.accept", comment("divert.accept"), "-j ACCEPT")
	}
	return "-j " + divert
}

func (w *writer) any() string {
	if w.v6 {
		return "::"
	}
	return "0.0.0.0"
}
