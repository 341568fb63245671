package plan

import (
	"net/netip"
	"slices"
	"strings"
)

// maxResolvers bounds what is taken of /etc/resolv.conf; resolvers ask the first three.
const maxResolvers = 16

// ParseResolvConf finds the servers in the text of /etc/resolv.conf. What isn't an address is skipped, as resolvers do.
func ParseResolvConf(text string) []netip.Addr {
	var servers []netip.Addr
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" || len(servers) == maxResolvers {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil && !a.IsUnspecified() {
			servers = append(servers, a.Unmap().WithZone(""))
		}
	}
	slices.SortFunc(servers, netip.Addr.Compare)
	return slices.Compact(servers)
}

func dnsOf(o Options, families Families) DNS {
	if !o.RedirectDNS {
		return DNS{}
	}
	d := DNS{Via: Redirect, Port: o.DNSPort, All: o.CaptureAllDNS, Zones: true}
	if o.Mode == Listed {
		d.Via = DNAT
	}
	if d.All {
		return d
	}
	for _, a := range o.Resolvers {
		if (a.Is4() && families.V4) || (a.Is6() && families.V6) {
			d.Servers = append(d.Servers, a)
		}
	}
	if len(d.Servers) == 0 {
		return DNS{}
	}
	return d
}

func warnDNS(o Options, d DNS) []string {
	switch {
	case o.RedirectDNS && !d.On():
		return []string{"--redirect-dns: /etc/resolv.conf names no server of a captured IP family; DNS isn't captured"}
	case o.CaptureAllDNS && !o.RedirectDNS:
		return []string{"--capture-all-dns has an effect only with --redirect-dns"}
	}
	return nil
}
