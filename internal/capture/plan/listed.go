package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// What Listed mode has instead of the usual defaults: those of TSF's sidecar. One port takes both directions.
const (
	listedUID     = 1000
	listedDNSPort = 55354
)

// modeOf finds the mode before the other flags are read, for their defaults depend on it.
func modeOf(given map[string][]string, env Environment) Mode {
	if values := given["mode"]; len(values) > 0 {
		return Mode(values[len(values)-1])
	}
	return Mode(env.Vars[ownEnv("MODE")])
}

// listedDefaults are in force until flags say otherwise.
func (o *Options) listedDefaults() {
	o.InboundPort, o.DNSPort = 0, listedDNSPort // 0: as the outbound port
}

func (o *Options) listedPort() {
	if o.Mode == Listed && o.InboundPort == 0 {
		o.InboundPort = o.OutboundPort
	}
}

// shapesAll says that flags were set that mean something in mode All alone. '*' is what an injector always says.
func (o Options) shapesAll() bool {
	return len(o.InboundPorts.List)+len(o.ExcludeInboundPorts)+len(o.OutboundCIDRs.List)+len(o.OutboundPorts) > 0
}

func validateListed(o Options) (errs []error) {
	if o.InboundPort != o.OutboundPort {
		errs = append(errs, fmt.Errorf("-z --inbound-capture-port is %d and -p --envoy-port is %d; with --mode listed one port takes both directions", o.InboundPort, o.OutboundPort))
	}
	if o.Interception == ModeTProxy {
		errs = append(errs, errors.New("-m --istio-inbound-interception-mode: TPROXY and --mode listed don't go together; want REDIRECT"))
	}
	return errs
}

// listed captures what the live sets hold. The proxy may listen on the pod's addresses only: DNAT needs to know them.
func (p *Plan) listed(o Options) error {
	p.In.Via, p.Out.Via = Redirect, DNAT
	p.First = Contents{In: o.ListedIn, Out: o.ListedOut}
	for _, a := range o.PodIPs {
		to := &p.Out.To6
		if a.Is4() {
			to = &p.Out.To4
		}
		if to.IsValid() {
			return fmt.Errorf("--pod-ips: %s and %s are of one IP family; want one address a family", *to, a)
		}
		*to = a
	}
	if p.Families.V4 && !p.Out.To4.IsValid() {
		return errors.New("--pod-ips: there is no IPv4 address; name one, or leave IPv4 alone with --ip-families ipv6")
	}
	if p.Families.V6 && !p.Out.To6.IsValid() {
		return errors.New("--pod-ips: there is no IPv6 address; name one, or leave IPv6 alone with --ip-families ipv4")
	}
	return nil
}

// parseAddrs reads a list of addresses.
func parseAddrs(s string) ([]netip.Addr, error) {
	return parseEach(s, netip.Addr.Compare, func(item string) (netip.Addr, error) {
		a, err := netip.ParseAddr(item)
		if err != nil || !plain(a) {
			return a, fmt.Errorf("%q is not an IP address", item)
		}
		return a, nil
	})
}

// parseAddrPorts reads a list of addresses with ports.
func parseAddrPorts(s string) ([]netip.AddrPort, error) {
	return parseEach(s, netip.AddrPort.Compare, func(item string) (netip.AddrPort, error) {
		a, err := netip.ParseAddrPort(item)
		if err != nil || !plain(a.Addr()) || a.Port() == 0 {
			return a, fmt.Errorf("%q is not an address and port such as 10.0.0.7:8080 or [fd00::7]:8080", item)
		}
		return a, nil
	})
}

func parseEach[T comparable](s string, order func(a, b T) int, parse func(string) (T, error)) ([]T, error) {
	items, err := split(s)
	if err != nil {
		return nil, err
	}
	var list []T
	for _, item := range items {
		v, err := parse(item)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	slices.SortFunc(list, order)
	return slices.Compact(list), nil
}

func addrs(field func(*Command) *[]netip.Addr) setter {
	return func(c *Command, value string) (err error) {
		*field(c), err = parseAddrs(value)
		return err
	}
}

func setListedIn(c *Command, value string) (err error) {
	c.Options.ListedIn, err = parseAddrPorts(value)
	return err
}

func setMode(c *Command, value string) error {
	switch Mode(value) {
	case All, Listed:
		c.Options.Mode = Mode(value)
		return nil
	}
	return errors.New("want all or listed")
}
