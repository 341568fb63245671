package plan

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// option is one line of the command line's table.
type option struct {
	long, short string
	env         string // "-" = none
	value       string // what it takes, for the usage text; "" = boolean
	usage       string
	set         func(c *Command, value string) error
}

// flags is the table of everything the command line takes, in the order of the usage text.
func flags() []option {
	return slices.Concat(istioFlags(), ownFlags(), explainFlags())
}

// istioFlags have Istio's names, variables and meaning.
func istioFlags() []option {
	return []option{
		{"envoy-port", "p", "-", "PORT", "port of the proxy that takes outbound connections", port(func(c *Command) *uint16 { return &c.Options.OutboundPort })},
		{"inbound-capture-port", "z", "", "PORT", "port of the proxy that takes inbound connections", port(func(c *Command) *uint16 { return &c.Options.InboundPort })},
		{"inbound-tunnel-port", "e", "", "PORT", "HBONE's port, never captured", port(func(c *Command) *uint16 { return &c.Options.TunnelPort })},
		{"proxy-uid", "u", "", "UIDS", "the proxy's UIDs; default: that of $ENVOY_USER, else 1337", idList(func(c *Command) *[]uint32 { return &c.Options.ProxyUIDs })},
		{"proxy-gid", "g", "", "GIDS", "the proxy's GIDs; default: as -u", idList(func(c *Command) *[]uint32 { return &c.Options.ProxyGIDs })},
		{"istio-inbound-interception-mode", "m", "", "MODE", "REDIRECT; TPROXY, which keeps the client's address; or NONE for a clean namespace", setInterception},
		{"istio-inbound-ports", "b", "", "PORTS", "inbound ports to capture: * for all, a list, or empty for none", setInboundPorts},
		{"istio-local-exclude-ports", "d", "", "PORTS", "inbound ports left alone, with -b '*'", ranges(1, 65535, func(c *Command) *[]Range { return &c.Options.ExcludeInboundPorts })},
		{"istio-exclude-interfaces", "c", "", "NAMES", "interfaces captured in neither direction", interfaces(func(c *Command) *[]string { return &c.Options.ExcludeInterfaces })},
		{"istio-service-cidr", "i", "", "CIDRS", "outbound destinations to capture: * for all, a list, or empty for none", setOutbound},
		{"istio-service-exclude-cidr", "x", "", "CIDRS", "outbound destinations left alone", prefixes(func(c *Command) *prefixList { return &c.Options.ExcludeOutboundCIDRs })},
		{"istio-outbound-ports", "q", "", "PORTS", "outbound ports captured whatever the address", ranges(1, 65535, func(c *Command) *[]Range { return &c.Options.OutboundPorts })},
		{"istio-local-outbound-ports-exclude", "o", "", "PORTS", "outbound ports left alone before anything else", orOutput(ranges(1, 65535, func(c *Command) *[]Range { return &c.Options.ExcludeOutboundPorts }))},
		{"dry-run", "n", "", "", "print the rules and change nothing", boolean(func(c *Command) *bool { return &c.DryRun })},
		{"skip-rule-apply", "", "", "", "with --run-validation: only verify", boolean(func(c *Command) *bool { return &c.SkipApply })},
		{"run-validation", "", "", "", "verify after applying; failure exits 126", boolean(func(c *Command) *bool { return &c.Validate })},
		{"iptables-probe-port", "", "", "PORT", "port of --probe where uncaptured connections arrive", port(func(c *Command) *uint16 { return &c.ProbePort })},
		{"probe-timeout", "", "", "DURATION", "time for --probe", duration(func(c *Command) *time.Duration { return &c.ProbeTimeout })},
		{"dual-stack", "", "ISTIO_DUAL_STACK", "", "accepted; both families are the normal case", accepted(checkBool)},
		{"network-namespace", "", "", "PATH", "network namespace to work in", text(func(c *Command) *string { return &c.Namespace })},
		{"cni-mode", "", "", "", "iptables' lock is private to the pod", boolean(func(c *Command) *bool { return &c.OwnLock })},
		{"reconcile", "", "", "", "remove rules with Istio's names of the backend not used, too; every run converges", boolean(func(c *Command) *bool { return &c.Reconcile })},
		{"cleanup-only", "", "", "", "the same as subcommand clean", setCleanup},
		{"force-apply", "", "", "", "write the rules even if they're there", boolean(func(c *Command) *bool { return &c.Force })},
		{"native-nftables", "", "", "", "the same as --backend nftables", setNative},
		{"istio-inbound-tproxy-mark", "t", "", "MARK", "TPROXY: mark of packets that are diverted to the proxy", mark(func(c *Command) *uint32 { return &c.Options.TProxyMark })},
		{"istio-inbound-tproxy-route-table", "r", "", "TABLE", "TPROXY: number of the routing table for them", setTable},
		{"log_output_level", "", "-", "LEVEL", "accepted; one line is written, always", accepted(checkAny)},
		{"log_as_json", "", "-", "", "accepted; the line is JSON", accepted(checkBool)},
		{"kube-virt-interfaces", "k", "", "NAMES", "interfaces of nested machines: what arrives there counts as outbound", interfaces(func(c *Command) *[]string { return &c.Options.VirtualInterfaces })},
		{"redirect-dns", "", "ISTIO_META_DNS_CAPTURE", "", "capture queries to the servers of /etc/resolv.conf", boolean(func(c *Command) *bool { return &c.Options.RedirectDNS })},
		{"capture-all-dns", "", "", "", "with --redirect-dns: capture queries to any server", boolean(func(c *Command) *bool { return &c.Options.CaptureAllDNS })},
		{"drop-invalid", "", "INVALID_DROP", "", "drop packets that belong to no connection, of every protocol", boolean(func(c *Command) *bool { return &c.Options.DropInvalid })},
		{"force-iptables-binary", "", "", "NAME", "legacy or nft: the same as --backend iptables, with that variant", setIptables},
		{"", "", "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "CIDR", "IPv4 destinations that stay in the pod", setLoopback},
		{"", "", "ISTIO_OUTBOUND_OWNER_GROUPS", "GROUPS", "groups, by number or name, whose connections alone are captured; * for all", groupNames(func(c *Command) *[]string { return &c.OwnerGroups })},
		{"", "", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "GROUPS", "groups whose connections are left alone", groupNames(func(c *Command) *[]string { return &c.OwnerGroupsExclude })},
	}
}

// ownFlags are Pillion's; their variables start with PILLION_CAPTURE_.
func ownFlags() []option {
	return []option{
		{"backend", "", ownEnv("BACKEND"), "NAME", "auto, nftables or iptables", setBackend},
		{"ip-families", "", ownEnv("IP_FAMILIES"), "NAME", "auto, ipv4, ipv6 or dual", setFamilies},
		{"exclude-outbound-uids", "", ownEnv("EXCLUDE_OUTBOUND_UIDS"), "UIDS", "UIDs or ranges whose connections are left alone", ranges(0, maxID, func(c *Command) *[]Range { return &c.Options.ExcludeOutboundUIDs })},
		{"exclude-inbound-ip-ranges", "", ownEnv("EXCLUDE_INBOUND_IP_RANGES"), "CIDRS", "sources whose connections are left alone", prefixes(func(c *Command) *prefixList { return &c.Options.ExcludeInboundFrom })},
		{"dns-port", "", ownEnv("DNS_PORT"), "PORT", "port of the resolver that captured queries go to", port(func(c *Command) *uint16 { return &c.Options.DNSPort })},
		{"probe", "", ownEnv("PROBE"), "", "verify: also make connections and see where they arrive; before the proxy starts", boolean(func(c *Command) *bool { return &c.Probe })},
		{"record", "", ownEnv("RECORD"), "FILE", "where the evidence goes; default " + RecordDefault + " if that folder is writable", setRecord},
		{"mode", "", ownEnv("MODE"), "MODE", "all captures what isn't bypassed, listed what is registered", setMode},
		{"arming", "", ownEnv("ARMING"), "WHEN", "early captures at once, late when the agent says that the proxy is ready", setArming},
		{"dialect", "", ownEnv("DIALECT"), "NAME", "of iptables' rules: pillion, or as they're known elsewhere istio, istio-1.8, tsf", oneOf(func(c *Command) *string { return &c.Dialect }, "pillion", "istio", "istio-1.8", "tsf")},
		{"bypass", "", ownEnv("BYPASS"), "RULE", "left alone, such as 'out tcp port 9000 to 10.0.0.0/8 uid 106 because backups'; may be repeated", setBypass},
		{"proxy-mark", "", ownEnv("PROXY_MARK"), "MARK[/MASK]", "packets with this mark are the proxy's", setProxyMark},
		{"pod-ips", "", ownEnv("POD_IPS"), "IPS", "listed mode: addresses the proxy listens on; default: the pod's", addrs(func(c *Command) *[]netip.Addr { return &c.Options.PodIPs })},
		{"listed-inbound", "", ownEnv("LISTED_INBOUND"), "IP:PORT,...", "listed mode: what is inbound at first", setListedIn},
		{"listed-outbound", "", ownEnv("LISTED_OUTBOUND"), "IPS", "listed mode: what is outbound at first", addrs(func(c *Command) *[]netip.Addr { return &c.Options.ListedOut })},
	}
}

func ownEnv(name string) string { return "PILLION_CAPTURE_" + name }

// variable is the flag's environment variable, "" if it has none.
func (f option) variable() string {
	switch f.env {
	case "-":
		return ""
	case "":
		return strings.ToUpper(strings.ReplaceAll(f.long, "-", "_"))
	default:
		return f.env
	}
}

// name is how messages and the usage text call the flag.
func (f option) name() string {
	switch {
	case f.long == "":
		return f.env
	case f.short == "":
		return "--" + f.long
	default:
		return "-" + f.short + " --" + f.long
	}
}
