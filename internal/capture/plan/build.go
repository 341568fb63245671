package plan

import (
	"errors"
	"fmt"
	"net/netip"
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
	p.In.Via, p.In.Ports = Redirect, o.InboundPorts
	p.Out.Via, p.Out.CIDRs = Redirect, o.OutboundCIDRs
	if !o.OutboundCIDRs.All {
		p.Out.Ports = o.OutboundPorts
	}
	p.Out.Owners = o.OwnerGroups
	p.Bypass = bypasses(o)
	p.DropInvalid = o.DropInvalid
	p.DNS = dnsOf(o, families)
	return p, append(warn(o), warnDNS(o, p.DNS)...), nil
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

// inboundSkips are the ports left alone on the way in: the tunnel's always, the excluded ones if all are captured.
func inboundSkips(o Options) []Range {
	skips := []Range{{uint32(o.TunnelPort), uint32(o.TunnelPort)}}
	if o.InboundPorts.All {
		skips = append(skips, o.ExcludeInboundPorts...)
	}
	return mergeRanges(skips)
}

func validate(o Options) error {
	ports := []struct {
		flag string
		port uint16
	}{{"-p --envoy-port", o.OutboundPort}, {"-z --inbound-capture-port", o.InboundPort}, {"--dns-port", o.DNSPort}}
	var errs []error
	for i, a := range ports {
		for _, b := range ports[i+1:] {
			if a.port == b.port {
				errs = append(errs, fmt.Errorf("%s and %s are both %d; want different ports", a.flag, b.flag, a.port))
			}
		}
	}
	if !netip.MustParsePrefix("127.0.0.0/8").Overlaps(o.Loopback) || o.Loopback.Bits() < 8 {
		errs = append(errs, fmt.Errorf("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: %s is not within 127.0.0.0/8", o.Loopback))
	}
	if len(o.ProxyUIDs) == 0 {
		errs = append(errs, errors.New("-u --proxy-uid: no UID; the proxy's own connections would loop"))
	}
	return errors.Join(errs...)
}

func warn(o Options) []string {
	var warnings []string
	add := func(when bool, text string) {
		if when {
			warnings = append(warnings, text)
		}
	}
	add(slices.Contains(o.ProxyUIDs, 0), "-u --proxy-uid holds 0: all of root escapes capture")
	add(len(o.ExcludeInboundPorts) > 0 && !o.InboundPorts.All, "-d --istio-local-exclude-ports has an effect only with -b '*'")
	add(len(o.OutboundPorts) > 0 && o.OutboundCIDRs.All, "-q --istio-outbound-ports adds nothing to -i '*'")
	add(!o.RedirectDNS && o.InboundPorts.None() && o.OutboundCIDRs.None() && len(o.OutboundPorts) == 0, "nothing is captured: neither -b nor -i is set")
	return warnings
}
