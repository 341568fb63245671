package plan

import (
	"fmt"
	"strings"
)

// Args turns options back into the flags that make them, for the command line of an init container. Defaults are left
// out, except those users look for in a pod.
func Args(o Options) []string {
	args := []string{
		"-p", fmt.Sprint(o.OutboundPort), "-z", fmt.Sprint(o.InboundPort), "-u", ids(o.ProxyUIDs),
		"-m", string(o.Interception), "-i", o.OutboundCIDRs.String(), "-x", join(o.ExcludeOutboundCIDRs),
		"-b", o.InboundPorts.String(), "-d", join(o.ExcludeInboundPorts),
	}
	standard := Defaults()
	if o.Mode == Listed {
		standard.listedDefaults()
	}
	for _, by := range o.Bypass {
		args = append(args, "--bypass", by.text())
	}
	for _, f := range []struct{ flag, value, standard string }{
		{"-g", ids(o.ProxyGIDs), ""},
		{"-e", fmt.Sprint(o.TunnelPort), fmt.Sprint(standard.TunnelPort)},
		{"-c", strings.Join(o.ExcludeInterfaces, ","), ""},
		{"-k", strings.Join(o.VirtualInterfaces, ","), ""},
		{"-q", join(o.OutboundPorts), ""},
		{"-o", join(o.ExcludeOutboundPorts), ""},
		{"--dns-port", fmt.Sprint(o.DNSPort), fmt.Sprint(standard.DNSPort)},
		{"--exclude-outbound-uids", join(o.ExcludeOutboundUIDs), ""},
		{"--exclude-inbound-ip-ranges", join(o.ExcludeInboundFrom), ""},
		{"-t", fmt.Sprint(o.TProxyMark), fmt.Sprint(standard.TProxyMark)},
		{"-r", fmt.Sprint(o.TProxyTable), fmt.Sprint(standard.TProxyTable)},
		{"--arming", map[bool]string{true: "late", false: "early"}[o.LateArming], "early"},
		{"--mode", string(o.Mode), string(All)},
		{"--pod-ips", join(o.PodIPs), ""},
		{"--listed-inbound", join(o.ListedIn), ""},
		{"--listed-outbound", join(o.ListedOut), ""},
		{"--proxy-mark", o.ProxyMark.String(), ""},
		{"--ip-families", string(o.Families), string(FamilyAuto)},
	} {
		if f.value != f.standard {
			args = append(args, f.flag, f.value)
		}
	}
	for _, f := range []struct {
		flag string
		on   bool
	}{{"--redirect-dns", o.RedirectDNS}, {"--capture-all-dns", o.CaptureAllDNS}, {"--drop-invalid", o.DropInvalid}} {
		if f.on {
			args = append(args, f.flag)
		}
	}
	return args
}

func ids(list []uint32) string {
	texts := make([]string, len(list))
	for i, id := range list {
		texts[i] = fmt.Sprint(id)
	}
	return strings.Join(texts, ",")
}
