package plan

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func compare() cmp.Options {
	// How lists were written isn't what they mean: TestGiven looks at that.
	return cmp.Options{cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}, netip.AddrPort{}), cmpopts.EquateEmpty(), cmpopts.IgnoreTypes(Given{})}
}

func parse(t *testing.T, line string, vars map[string]string) *Command {
	t.Helper()
	c, err := Parse(strings.Fields(line), Environment{Vars: vars})
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return c
}

func addrList(texts ...string) (list []netip.Addr) {
	for _, s := range texts {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

func prefixes4(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// Every flag that shapes the plan, in each of its spellings and by its variable.
func TestFlags(t *testing.T) {
	for _, f := range []struct {
		short, long, env, value string
		want                    func(*Options)
	}{
		{"-p", "--envoy-port", "", "1", func(o *Options) { o.OutboundPort = 1 }},
		{"-z", "--inbound-capture-port", "INBOUND_CAPTURE_PORT", "65535", func(o *Options) { o.InboundPort = 65535 }},
		{"-e", "--inbound-tunnel-port", "INBOUND_TUNNEL_PORT", "7", func(o *Options) { o.TunnelPort = 7 }},
		{"-u", "--proxy-uid", "PROXY_UID", "1338,1337,1338", func(o *Options) { o.ProxyUIDs = []uint32{1337, 1338} }},
		{"-g", "--proxy-gid", "PROXY_GID", "4294967294", func(o *Options) { o.ProxyGIDs = []uint32{4294967294} }},
		{"-m", "--istio-inbound-interception-mode", "ISTIO_INBOUND_INTERCEPTION_MODE", "NONE", func(o *Options) { o.Interception = ModeNone }},
		{"-m", "--istio-inbound-interception-mode", "ISTIO_INBOUND_INTERCEPTION_MODE", "REDIRECT", func(*Options) {}},
		{"-m", "--istio-inbound-interception-mode", "ISTIO_INBOUND_INTERCEPTION_MODE", "TPROXY", func(o *Options) { o.Interception = ModeTProxy }},
		{"-b", "--istio-inbound-ports", "ISTIO_INBOUND_PORTS", "*", func(o *Options) { o.InboundPorts = Ports{All: true} }},
		{"-b", "--istio-inbound-ports", "ISTIO_INBOUND_PORTS", "8000-8100,80,81", func(o *Options) { o.InboundPorts = Ports{List: []Range{{80, 81}, {8000, 8100}}} }},
		{"-d", "--istio-local-exclude-ports", "ISTIO_LOCAL_EXCLUDE_PORTS", "15090,15021,15020", func(o *Options) { o.ExcludeInboundPorts = []Range{{15020, 15021}, {15090, 15090}} }},
		{"-c", "--istio-exclude-interfaces", "ISTIO_EXCLUDE_INTERFACES", "eth1,eth0,eth1", func(o *Options) { o.ExcludeInterfaces = []string{"eth0", "eth1"} }},
		{"-i", "--istio-service-cidr", "ISTIO_SERVICE_CIDR", "*", func(o *Options) { o.OutboundCIDRs = Prefixes{All: true} }},
		{"-i", "--istio-service-cidr", "ISTIO_SERVICE_CIDR", "10.1.2.3/8,10.9.0.0/16,1.2.3.4,fd00::1/64", func(o *Options) {
			o.OutboundCIDRs.List = prefixes4("1.2.3.4/32", "10.0.0.0/8", "fd00::/64")
		}},
		{"-x", "--istio-service-exclude-cidr", "ISTIO_SERVICE_EXCLUDE_CIDR", "10.0.0.0/8", func(o *Options) { o.ExcludeOutboundCIDRs = prefixes4("10.0.0.0/8") }},
		{"-q", "--istio-outbound-ports", "ISTIO_OUTBOUND_PORTS", "443", func(o *Options) { o.OutboundPorts = []Range{{443, 443}} }},
		{"-o", "--istio-local-outbound-ports-exclude", "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE", "1-65535", func(o *Options) { o.ExcludeOutboundPorts = []Range{{1, 65535}} }},
		{"", "--exclude-outbound-uids", "PILLION_CAPTURE_EXCLUDE_OUTBOUND_UIDS", "0,106-108", func(o *Options) { o.ExcludeOutboundUIDs = []Range{{0, 0}, {106, 108}} }},
		{"", "--exclude-inbound-ip-ranges", "PILLION_CAPTURE_EXCLUDE_INBOUND_IP_RANGES", "10.0.0.0/8", func(o *Options) { o.ExcludeInboundFrom = prefixes4("10.0.0.0/8") }},
		{"", "--ip-families", "PILLION_CAPTURE_IP_FAMILIES", "dual", func(o *Options) { o.Families = FamilyDual }},
		{"", "--dns-port", "PILLION_CAPTURE_DNS_PORT", "53", func(o *Options) { o.DNSPort = 53 }},
		{"", "", "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "127.0.0.0/8", func(o *Options) { o.Loopback = netip.MustParsePrefix("127.0.0.0/8") }},
		{"", "--backend", "PILLION_CAPTURE_BACKEND", "nftables", func(*Options) {}},
		{"", "--native-nftables", "NATIVE_NFTABLES", "true", func(*Options) {}},
		{"", "--dual-stack", "ISTIO_DUAL_STACK", "true", func(*Options) {}},
		{"", "--redirect-dns", "ISTIO_META_DNS_CAPTURE", "false", func(*Options) {}},
		{"", "--redirect-dns", "ISTIO_META_DNS_CAPTURE", "true", func(o *Options) { o.RedirectDNS = true }},
		{"", "--pod-ips", "PILLION_CAPTURE_POD_IPS", "fd00::7,10.0.0.7", func(o *Options) { o.PodIPs = addrList("10.0.0.7", "fd00::7") }},
		{"", "--listed-inbound", "PILLION_CAPTURE_LISTED_INBOUND", "[fd00::7]:80,10.0.0.7:80,10.0.0.7:80", func(o *Options) {
			o.ListedIn = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.7:80"), netip.MustParseAddrPort("[fd00::7]:80")}
		}},
		{"", "--listed-outbound", "PILLION_CAPTURE_LISTED_OUTBOUND", "240.0.0.1", func(o *Options) { o.ListedOut = addrList("240.0.0.1") }},
		{"", "--mode", "PILLION_CAPTURE_MODE", "listed", func(o *Options) {
			o.Mode, o.ProxyUIDs, o.InboundPort, o.DNSPort = Listed, []uint32{1000}, 15001, 55354
		}},
		{"-k", "--kube-virt-interfaces", "KUBE_VIRT_INTERFACES", "net1,net0", func(o *Options) { o.VirtualInterfaces = []string{"net0", "net1"} }},
		{"", "--arming", "PILLION_CAPTURE_ARMING", "late", func(o *Options) { o.LateArming = true }},
		{"", "--capture-all-dns", "CAPTURE_ALL_DNS", "1", func(o *Options) { o.CaptureAllDNS = true }},
		{"", "--drop-invalid", "INVALID_DROP", "0", func(*Options) {}},
		{"-t", "--istio-inbound-tproxy-mark", "ISTIO_INBOUND_TPROXY_MARK", "0x10", func(o *Options) { o.TProxyMark = 16 }},
		{"-r", "--istio-inbound-tproxy-route-table", "ISTIO_INBOUND_TPROXY_ROUTE_TABLE", "7", func(o *Options) { o.TProxyTable = 7 }},
		{"", "--drop-invalid", "INVALID_DROP", "true", func(o *Options) { o.DropInvalid = true }},
		{"", "--proxy-mark", "PILLION_CAPTURE_PROXY_MARK", "1338", func(o *Options) { o.ProxyMark = &Mark{Value: 1338, Mask: allBits} }},
		{"", "--proxy-mark", "PILLION_CAPTURE_PROXY_MARK", "0x100/0xff00", func(o *Options) { o.ProxyMark = &Mark{Value: 0x100, Mask: 0xff00} }},
	} {
		want := Defaults()
		f.want(&want)
		var lines [][]string
		if f.short != "" {
			lines = append(lines, []string{f.short, f.value}, []string{f.short + f.value}, []string{f.short + "=" + f.value}, []string{f.short, f.value, "--log_as_json"})
		}
		if f.long != "" {
			lines = append(lines, []string{f.long + "=" + f.value}, []string{"apply", f.long + "=" + f.value})
		}
		for _, line := range lines {
			c, err := Parse(line, Environment{})
			if err != nil {
				t.Errorf("%v: %v", line, err)
				continue
			}
			if d := cmp.Diff(want, c.Options, compare()); d != "" {
				t.Errorf("%v: %s", line, d)
			}
		}
		if f.env == "" {
			continue
		}
		c, err := Parse(nil, Environment{Vars: map[string]string{f.env: f.value}})
		if err != nil {
			t.Errorf("$%s: %v", f.env, err)
		} else if d := cmp.Diff(want, c.Options, compare()); d != "" {
			t.Errorf("$%s: %s", f.env, d)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := parse(t, "", nil)
	want := &Command{Name: "apply", Record: RecordDefault, Dialect: "pillion", Output: "text", ProbePort: 15002, ProbeTimeout: 5 * time.Second, Options: Options{
		Interception: ModeRedirect, Mode: All, TProxyMark: 1337, TProxyTable: 133, OutboundPort: 15001, InboundPort: 15006, TunnelPort: 15008, DNSPort: 15053,
		ProxyUIDs: []uint32{1337}, Loopback: netip.MustParsePrefix("127.0.0.1/32"), Families: FamilyAuto,
	}}
	if d := cmp.Diff(want, c, compare()); d != "" {
		t.Error(d)
	}
}

func TestCommandLineWinsOverEnvironment(t *testing.T) {
	vars := map[string]string{"ISTIO_INBOUND_PORTS": "80", "ISTIO_SERVICE_CIDR": "", "PROXY_UID": "1"}
	c := parse(t, "-b 81", vars)
	if c.Options.InboundPorts.String() != "81" || c.Options.ProxyUIDs[0] != 1 {
		t.Errorf("got -b %s -u %v", c.Options.InboundPorts, c.Options.ProxyUIDs)
	}
	c, err := Parse([]string{"-b", ""}, Environment{Vars: vars})
	if err != nil || !c.Options.InboundPorts.None() {
		t.Errorf("an empty flag must win over the variable: %v, %v", c, err)
	}
}

func TestProxyUIDIsThatOfEnvoyUser(t *testing.T) {
	lookup := func(name string) (uint32, bool) {
		uid, ok := map[string]uint32{"istio-proxy": 7, "other": 8}[name]
		return uid, ok
	}
	for user, want := range map[string]uint32{"": 7, "other": 8, "nobody-knows": 1337} {
		c, err := Parse(nil, Environment{Vars: map[string]string{"ENVOY_USER": user}, LookupUID: lookup})
		if err != nil || c.Options.ProxyUIDs[0] != want {
			t.Errorf("ENVOY_USER=%q: %v, %v; want UID %d", user, c, err, want)
		}
	}
}

func TestCommands(t *testing.T) {
	for line, want := range map[string]func(*Command){
		"apply":                                func(*Command) {},
		"verify":                               func(c *Command) { c.Name = "verify" },
		"diff":                                 func(c *Command) { c.Name = "diff" },
		"clean":                                func(c *Command) { c.Name = "clean" },
		"--cleanup-only":                       func(c *Command) { c.Name = "clean" },
		"--help":                               func(c *Command) { c.Name = "help" },
		"-h":                                   func(c *Command) { c.Name = "help" },
		"-n":                                   func(c *Command) { c.DryRun = true },
		"--dry-run=false --reconcile":          func(c *Command) { c.Reconcile = true },
		"--skip-rule-apply --run-validation":   func(c *Command) { c.SkipApply, c.Validate = true, true },
		"--force-apply --network-namespace /n": func(c *Command) { c.Force, c.Namespace = true, "/n" },
		"--record /tmp/x":                      func(c *Command) { c.Record, c.RecordAsk = "/tmp/x", true },
		"--record=":                            func(c *Command) { c.Record = "" },
		"--cni-mode -t 1337 -r 133":            func(c *Command) { c.OwnLock = true },
		"--log_output_level=default:info":      func(*Command) {},
		"explain tcp 1.1.1.1:1 2.2.2.2:2":      func(c *Command) { c.Name, c.Positional = "explain", []string{"tcp", "1.1.1.1:1", "2.2.2.2:2"} },
		"explain --uid 5 --gid 6 --in -- -x": func(c *Command) {
			c.Name, c.Query, c.Positional = "explain", Query{Inbound: true, UID: 5, GID: 6}, []string{"-x"}
		},
		"explain --iface eth0 --output json":                    func(c *Command) { c.Name, c.Query.Interface, c.Output = "explain", "eth0", "json" },
		"--probe-timeout 7s --mode all":                         func(c *Command) { c.ProbeTimeout = 7 * time.Second },
		"verify --probe --iptables-probe-port 1 --arming early": func(c *Command) { c.Name, c.Probe, c.ProbePort = "verify", true, 1 },
	} {
		expected := parse(t, "", nil)
		want(expected)
		if d := cmp.Diff(expected, parse(t, line, nil), compare()); d != "" {
			t.Errorf("%s: %s", line, d)
		}
	}
}

// Every refusal names the flag or variable, the value, and what is wanted.
func TestRefusals(t *testing.T) {
	for _, r := range []struct{ line, env, want string }{
		{"-p 0", "", `flag -p --envoy-port: "0": "0" is not a number from 1 to 65535`},
		{"-p 70000", "", `"70000" is not a number from 1 to 65535`},
		{"-p", "", `flag -p --envoy-port: its value is missing; want PORT`},
		{"-p 080", "", `"080" is not a number`},
		{"-z +1", "", `"+1" is not a number`},
		{"", "INBOUND_CAPTURE_PORT=x", `environment INBOUND_CAPTURE_PORT: "x": "x" is not a number from 1 to 65535`},
		{"-u root", "", `flag -u --proxy-uid: "root": "root" is not a number from 0 to 4294967294`},
		{"-u 4294967295", "", `not a number from 0 to 4294967294`},
		{"-m redirect", "", `"redirect": want REDIRECT, TPROXY or NONE`},
		{"", "ISTIO_INBOUND_INTERCEPTION_MODE=x", `environment ISTIO_INBOUND_INTERCEPTION_MODE: "x": want REDIRECT, TPROXY or NONE`},
		{"-b 80,,81", "", `item 2 is empty`},
		{"-b 90-80", "", `"90-80" runs backwards`},
		{"-b *,80", "", `"*" is not a number from 1 to 65535`},
		{"-i 10.0.0.0/33", "", `"10.0.0.0/33" is not an IP address or CIDR`},
		{"-i ::ffff:1.2.3.4", "", `"::ffff:1.2.3.4" is not an IP address or CIDR`},
		{"-i fe80::1%eth0", "", `is not an IP address or CIDR`},
		{"-x *", "", `flag -x --istio-service-exclude-cidr: "*": want CIDRs; to capture nothing leave -i empty`},
		{"-c eth0/1", "", `"eth0/1" is not an interface name`},
		{"-c averyverylongname", "", `is not an interface name`},
		{"-k virbr/0", "", `flag -k --kube-virt-interfaces: "virbr/0": "virbr/0" is not an interface name`},
		{"", "ISTIO_META_DNS_CAPTURE=yes", `environment ISTIO_META_DNS_CAPTURE: "yes": want true or false`},
		{"--capture-all-dns=no", "", `flag --capture-all-dns: "no": want true or false`},
		{"", "INVALID_DROP=2", `environment INVALID_DROP: "2": want true or false`},
		{"--mode some", "", `flag --mode: "some": want all or listed`},
		{"--arming soon", "", `flag --arming: "soon": want early or late`},
		{"--dialect linkerd", "", `flag --dialect: "linkerd": want one of pillion, istio, istio-1.8, tsf`},
		{"--bypass out", "", `flag --bypass: "out": it leaves everything alone`},
		{"--proxy-mark 0", "", `flag --proxy-mark: "0": "0" is not a number from 1 to 4294967295`},
		{"--proxy-mark 010", "", `"010" is not a number`},
		{"--proxy-mark 3/0x2", "", `flag --proxy-mark: "3/0x2": the value has bits that the mask takes away`},
		{"--pod-ips 1.2.3.4/32", "", `flag --pod-ips: "1.2.3.4/32": "1.2.3.4/32" is not an IP address`},
		{"--listed-inbound 1.2.3.4", "", `flag --listed-inbound: "1.2.3.4": "1.2.3.4" is not an address and port`},
		{"--listed-outbound 0.0.0.0", "", `flag --listed-outbound: "0.0.0.0": "0.0.0.0" is not an IP address`},
		{"", "ISTIO_OUTBOUND_OWNER_GROUPS=1,nobody-knows", `environment ISTIO_OUTBOUND_OWNER_GROUPS: "nobody-knows" is neither a number nor a group of /etc/group`},
		{"", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=*", `environment ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: "*" is neither a number`},
		{"", "ISTIO_OUTBOUND_OWNER_GROUPS=1" + strings.Repeat(",2", 64), `65 groups are more than the 64 allowed`},
		{"--backend pf", "", `flag --backend: "pf": want auto, nftables or iptables`},
		{"--ip-families both", "", `flag --ip-families: "both": want auto, ipv4, ipv6 or dual`},
		{"--dual-stack=maybe", "", `flag --dual-stack: "maybe": want true or false`},
		{"--dry-run=2", "", `flag -n --dry-run: "2": want true or false`},
		{"--probe-timeout 5", "", `flag --probe-timeout: "5": want a duration such as 5s`},
		{"-t x", "", `flag -t --istio-inbound-tproxy-mark: "x": "x" is not a number from 1 to 4294967295`},
		{"-r 254", "", `flag -r --istio-inbound-tproxy-route-table: "254": table 254 is the kernel's own`},
		{"explain --as iptables", "", `flag --as: "iptables": want one of nftables, plan, pillion, istio, istio-1.8, tsf`},
		{"--backend iptables --native-nftables", "", "another flag or variable asks for backend"},
		{"--backend nftables --force-iptables-binary legacy", "", "another flag or variable asks for backend"},
		{"--backend nftables", "FORCE_IPTABLES_BINARY=nft", "another flag or variable asks for backend"},
		{"--nonsense", "", `flag --nonsense is unknown`},
		{"-Q", "", `flag -Q is unknown`},
		{"aply", "", `subcommand "aply" is unknown; want one of apply`},
		{"apply now", "", `argument "now": apply takes none`},
		{"-p 0 -z 0 -m X", "", `flag -z --inbound-capture-port: "0"`},
		{"-p 0 -z 0 -m X", "", `flag -m --istio-inbound-interception-mode: "X"`},
	} {
		vars := map[string]string{}
		if name, value, ok := strings.Cut(r.env, "="); ok {
			vars[name] = value
		}
		_, err := Parse(strings.Fields(r.line), Environment{Vars: vars})
		if err == nil || !strings.Contains(err.Error(), r.want) {
			t.Errorf("%s %s:\ngot  %v\nwant %s", r.line, r.env, err, r.want)
		}
		if errors.Is(err, ErrNoBackend) {
			t.Errorf("%s %s: not a matter of the backend", r.line, r.env)
		}
	}
}

func TestBackendFlags(t *testing.T) {
	for line, want := range map[string]Command{
		"":                               {Dialect: "pillion"},
		"--backend auto":                 {Dialect: "pillion"},
		"--backend nftables":             {Dialect: "pillion", Backend: "nftables"},
		"--native-nftables":              {Dialect: "pillion", Backend: "nftables"},
		"--native-nftables=false":        {Dialect: "pillion"},
		"--backend iptables":             {Dialect: "pillion", Backend: "iptables"},
		"--force-iptables-binary legacy": {Dialect: "pillion", Backend: "iptables", Binary: "legacy"},
		"--backend iptables --force-iptables-binary=nft --dialect istio-1.8 --cni-mode --reconcile": {
			Dialect: "istio-1.8", Backend: "iptables", Binary: "nft", OwnLock: true, Reconcile: true},
	} {
		c := parse(t, line, nil)
		got := Command{Dialect: c.Dialect, Backend: c.Backend, Binary: c.Binary, OwnLock: c.OwnLock, Reconcile: c.Reconcile}
		if d := cmp.Diff(want, got, compare()); d != "" {
			t.Errorf("%s: %s", line, d)
		}
	}
}

func TestTooLongAList(t *testing.T) {
	_, err := Parse([]string{"-x", strings.Repeat("1.2.3.4,", 4096) + "1.2.3.4"}, Environment{})
	if err == nil || !strings.Contains(err.Error(), "4097 items are more than the 4096 allowed") {
		t.Error(err)
	}
}

// The help text tells of every flag, and no two flags share a name or variable.
func TestUsageNamesEveryFlagOnce(t *testing.T) {
	usage, seen := Usage(), map[string]bool{}
	for _, f := range flags() {
		if !strings.Contains(usage, f.name()) {
			t.Errorf("%s isn't in the usage text", f.name())
		}
		for _, name := range []string{f.long, f.short, f.variable()} {
			if name != "" && seen[name] {
				t.Errorf("%s is used twice", name)
			}
			seen[name] = true
		}
	}
}
