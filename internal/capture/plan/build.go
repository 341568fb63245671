package plan

import (
	"fmt"
	"slices"
)

// New makes the plan for options in a namespace with these families. Warnings are sentences for the user about what
// the options say but can't mean. An error names the flag.
func New(o Options, families Families) (p *Plan, warnings []string, err error) {
	if err := validate(o); err != nil {
		return nil, nil, err
	}
	p = &Plan{Mode: o.Mode, Families: families, Loopback: o.Loopback, Proxy: identity(o), Given: o.Given}
	p.In = Inbound{Via: None, Port: o.InboundPort, Tunnel: o.TunnelPort}
	p.Out = Outbound{Via: None, Port: o.OutboundPort}
	if o.Interception == ModeNone {
		return p, nil, nil
	}
	if o.Mode == Listed {
		err = p.listed(o)
	} else {
		p.all(o)
	}
	p.Out.Owners = o.OwnerGroups
	p.Bypass = bypasses(o)
	p.Out.Virtual = o.VirtualInterfaces
	p.DropInvalid, p.LateArming = o.DropInvalid, o.LateArming
	p.DNS = dnsOf(o, families)
	return p, append(warn(o), warnDNS(o, p.DNS)...), err
}

// all captures what the lists of flags say.
func (p *Plan) all(o Options) {
	p.In.Via, p.In.Ports = Redirect, o.InboundPorts
	if o.Interception == ModeTProxy {
		p.In.Via, p.In.Mark, p.In.Table = TProxy, o.TProxyMark, o.TProxyTable
	}
	p.Out.Via, p.Out.CIDRs = Redirect, o.OutboundCIDRs
	if !o.OutboundCIDRs.All {
		p.Out.Ports = o.OutboundPorts
	}
}

func identity(o Options) Identity {
	id := Identity{UIDs: o.ProxyUIDs, GIDs: o.ProxyGIDs, Mark: o.ProxyMark}
	if len(id.GIDs) == 0 {
		id.GIDs = id.UIDs
	}
	return id
}

// bypasses lists what is left alone, in the order of the stages.
func bypasses(o Options) []Bypass {
	all := []Bypass{
		{Stage: StageExempt, Hook: Output, Interfaces: o.ExcludeInterfaces, Reason: "-c, excludeInterfaces"},
		{Stage: StageExempt, Hook: Output, Ports: o.ExcludeOutboundPorts, Reason: "-o, excludeOutboundPorts"},
		{Stage: StageIdentity, Hook: Output, UIDs: o.ExcludeOutboundUIDs, Reason: "--exclude-outbound-uids"},
		{Stage: StageBypass, Hook: Output, To: o.ExcludeOutboundCIDRs, Reason: "-x, excludeOutboundIPRanges"},
		{Stage: StageExempt, Hook: Prerouting, Interfaces: o.ExcludeInterfaces, Reason: "-c, excludeInterfaces"},
		{Stage: StageBypass, Hook: Prerouting, Ports: inboundSkips(o), Reason: "-e, -d, excludeInboundPorts"},
		{Stage: StageBypass, Hook: Prerouting, From: o.ExcludeInboundFrom, Reason: "--exclude-inbound-ip-ranges"},
	}
	all = slices.DeleteFunc(all, func(b Bypass) bool {
		return len(b.Interfaces)+len(b.Ports)+len(b.From)+len(b.To)+len(b.UIDs) == 0
	})
	for i, b := range o.Bypass {
		b.Name, b.Stage = fmt.Sprintf("rule%d", i+1), StageBypass
		all = append(all, b)
	}
	return all
}

// inboundSkips are the ports left alone on the way in: the tunnel's always, the excluded ones if all are captured;
// none in Listed mode, where ports are captured one by one.
func inboundSkips(o Options) []Range {
	if o.Mode == Listed {
		return nil
	}
	skips := []Range{{uint32(o.TunnelPort), uint32(o.TunnelPort)}}
	if o.InboundPorts.All {
		skips = append(skips, o.ExcludeInboundPorts...)
	}
	return mergeRanges(skips)
}
