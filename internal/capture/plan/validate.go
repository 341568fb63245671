package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

func validate(o Options) error {
	errs := validatePorts(o)
	if m := o.ProxyMark; m != nil && o.Interception == ModeTProxy && o.TProxyMark&m.Mask == m.Value {
		errs = append(errs, fmt.Errorf("--proxy-mark %s: TPROXY marks packets of clients with 0x%x (-t), they'd pass for the proxy's; want another mark", m, o.TProxyMark))
	}
	if o.Mode == Listed {
		errs = append(errs, validateListed(o)...)
	}
	if !netip.MustParsePrefix("127.0.0.0/8").Overlaps(o.Loopback) || o.Loopback.Bits() < 8 {
		errs = append(errs, fmt.Errorf("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: %s is not within 127.0.0.0/8", o.Loopback))
	}
	if len(o.ProxyUIDs) == 0 {
		errs = append(errs, errors.New("-u --proxy-uid: no UID; the proxy's own connections would loop"))
	}
	return errors.Join(errs...)
}

func validatePorts(o Options) (errs []error) {
	type named struct {
		flag string
		port uint16
	}
	ports := []named{{"-p --envoy-port", o.OutboundPort}, {"--dns-port", o.DNSPort}}
	if o.Mode != Listed {
		ports = []named{ports[0], {"-z --inbound-capture-port", o.InboundPort}, ports[1]}
	}
	for i, a := range ports {
		for _, b := range ports[i+1:] {
			if a.port == b.port {
				errs = append(errs, fmt.Errorf("%s and %s are both %d; want different ports", a.flag, b.flag, a.port))
			}
		}
	}
	return errs
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
	add(o.Mode != Listed && !o.RedirectDNS && o.InboundPorts.None() && o.OutboundCIDRs.None() && len(o.OutboundPorts) == 0, "nothing is captured: neither -b nor -i is set")
	add(o.Mode == Listed && o.shapesAll(), "-b, -d, -i and -q have no effect with --mode listed: what is captured stands in the live sets")
	add(o.Mode != Listed && len(o.PodIPs)+len(o.ListedIn)+len(o.ListedOut) > 0, "--pod-ips, --listed-inbound and --listed-outbound have an effect only with --mode listed")
	return warnings
}
