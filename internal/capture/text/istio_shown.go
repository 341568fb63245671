package text

import (
	"fmt"
	"slices"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Istio puts some rules into the tables' own chains where nothing says whose they are: later nobody could tell them from
// another program's, neither to compare nor to clean. These are shown, and never written.

const tproxyChain = "ISTIO_TPROXY"

// hairpinMark is what Istio gives the proxy's packets to this very pod with TPROXY.
const hairpinMark = 1338

// unowned lists what of a plan Istio has such rules for.
func unowned(p *plan.Plan, d Dialect) []string {
	var list []string
	if d != Istio {
		return list
	}
	if p.In.Via == plan.TProxy {
		list = append(list, "TPROXY")
	}
	if len(p.Out.Virtual) > 0 {
		list = append(list, "-k")
	}
	if len(excludedInterfaces(p)) > 0 {
		list = append(list, "-c")
	}
	return list
}

// excludedInterfaces are those of -c.
func excludedInterfaces(p *plan.Plan) []string {
	for _, b := range p.Bypass {
		if isInterfaces(b) {
			return b.Interfaces
		}
	}
	return nil
}

// isInterfaces tells whether a bypass is -c and nothing else.
func isInterfaces(b plan.Bypass) bool {
	return b.Stage == plan.StageExempt && b.Name == "" && len(b.Interfaces) > 0
}

// istioInterfaces are the rules for -k, which Istio inserts in front one by one, so that the last stands first, and
// behind them those for -c.
func (w *writer) istioInterfaces() {
	p := w.plan
	to := []string{""}
	if !p.Out.CIDRs.All {
		to = nil
		for _, c := range w.own(pick(p.Given.CIDRs, p.Out.CIDRs.List)) {
			to = append(to, address("-d", false, c))
		}
	}
	for _, destination := range slices.Backward(to) {
		for _, name := range slices.Backward(p.Out.Virtual) {
			w.add(nat, prerouting, "", destination, "-i "+name, "-j "+redirect)
		}
	}
	for _, name := range slices.Backward(p.Out.Virtual) {
		w.add(nat, prerouting, "", "-i "+name, "-j RETURN")
	}
	for _, name := range excludedInterfaces(p) {
		w.add(nat, prerouting, "", "-i "+name, "-j RETURN")
		w.add(nat, output, "", "-o "+name, "-j RETURN")
	}
}

// istioTProxy is the way in with TPROXY. The tunnel's port is captured here: that's the original's fault.
func (w *writer) istioTProxy() {
	p := w.plan
	mark := fmt.Sprintf("0x%x", p.In.Mark)
	for _, name := range excludedInterfaces(p) {
		w.add(mangle, prerouting, "", "-i "+name, "-j RETURN")
		w.add(mangle, output, "", "-o "+name, "-j RETURN")
	}
	if !p.In.Ports.None() {
		w.add(mangle, divert, "", "-j MARK --set-xmark "+mark+"/0xffffffff")
		w.add(mangle, divert, "", "-j ACCEPT")
		any := "0.0.0.0"
		if w.v6 {
			any = "::"
		}
		w.add(mangle, tproxyChain, "", "! -d "+w.localhost(), fmt.Sprintf("-p tcp -j TPROXY --on-port %d --on-ip %s --tproxy-mark %s/0xffffffff", p.In.Port, any, mark))
		w.add(mangle, prerouting, "", "-p tcp -j "+inbound)
	}
	w.add(mangle, prerouting, "", "-p tcp -m mark --mark "+mark, "-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff")
	w.add(mangle, output, "", "-o lo -p tcp -m mark --mark "+mark, "-j RETURN")
	for _, who := range w.proxyOwners() {
		w.add(mangle, output, "", "! -d "+w.localhost(), "-o lo -p tcp", who, fmt.Sprintf("-j MARK --set-xmark 0x%x/0xffffffff", hairpinMark))
	}
	w.add(mangle, output, "", "-p tcp -m connmark --mark "+mark, "-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff")
	w.istioTProxyInbound(mark)
}

func (w *writer) istioTProxyInbound(mark string) {
	p := w.plan
	w.add(mangle, inbound, "", "-p tcp -m mark --mark "+mark, "-j RETURN")
	w.add(mangle, inbound, "", "-s "+w.passthrough(), "-i lo -p tcp", "-j RETURN")
	w.add(mangle, inbound, "", fmt.Sprintf("-i lo -p tcp -m mark ! --mark 0x%x", hairpinMark), "-j RETURN")
	if !p.In.Ports.All {
		for _, r := range pick(p.Given.InboundPorts, p.In.Ports.List) {
			w.add(mangle, inbound, "", portRule("tcp", r), "-m conntrack --ctstate RELATED,ESTABLISHED", "-j "+divert)
			w.add(mangle, inbound, "", portRule("tcp", r), "-j "+tproxyChain)
		}
		return
	}
	w.istioInboundSkips(mangle)
	w.add(mangle, inbound, "", "-p tcp -m conntrack --ctstate RELATED,ESTABLISHED", "-j "+divert)
	w.add(mangle, inbound, "", "-p tcp", "-j "+tproxyChain)
}

// localhost is what TPROXY leaves alone, whatever loopback prefix was asked for.
func (w *writer) localhost() string {
	if w.v6 {
		return "::1/128"
	}
	return "127.0.0.1/32"
}
