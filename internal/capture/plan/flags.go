package plan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// ErrNoBackend marks a command line that asks for a backend this build doesn't have.
var ErrNoBackend = errors.New("no usable backend")

// Command is one parsed command line.
type Command struct {
	Name    string // apply, verify, explain, diff, clean, help
	Options Options

	DryRun     bool   // print the rules, change nothing
	SkipApply  bool   // only verify
	Validate   bool   // verify after applying
	Force      bool   // rewrite even if equal
	Namespace  string // path of the network namespace; "" = the one we're in
	Record     string // where the evidence goes; "" = nowhere
	RecordAsk  bool   // Record was asked for: not writing it is an error
	As, Output string // of explain
	Query      Query  // of explain: identity and interface of the packet
	Positional []string
	Warnings   []string
}

// Query is what explain's flags say about a packet; its addresses are positional.
type Query struct {
	Inbound   bool
	Interface string
	UID, GID  uint32
}

// RecordDefault is where the agent looks for what capture did.
const RecordDefault = "/etc/istio/proxy/capture.json"

// Environment is what parsing may ask of the outside.
type Environment struct {
	Vars      map[string]string
	LookupUID func(user string) (uid uint32, ok bool) // for $ENVOY_USER
}

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
	return append(istioFlags(), append(ownFlags(), explainFlags()...)...)
}

// istioFlags have Istio's names, variables and meaning.
func istioFlags() []option {
	return []option{
		{"envoy-port", "p", "-", "PORT", "port of the proxy that takes outbound connections", port(func(c *Command) *uint16 { return &c.Options.OutboundPort })},
		{"inbound-capture-port", "z", "", "PORT", "port of the proxy that takes inbound connections", port(func(c *Command) *uint16 { return &c.Options.InboundPort })},
		{"inbound-tunnel-port", "e", "", "PORT", "HBONE's port, never captured", port(func(c *Command) *uint16 { return &c.Options.TunnelPort })},
		{"proxy-uid", "u", "", "UIDS", "the proxy's UIDs; default: that of $ENVOY_USER, else 1337", idList(func(c *Command) *[]uint32 { return &c.Options.ProxyUIDs })},
		{"proxy-gid", "g", "", "GIDS", "the proxy's GIDs; default: as -u", idList(func(c *Command) *[]uint32 { return &c.Options.ProxyGIDs })},
		{"istio-inbound-interception-mode", "m", "", "MODE", "REDIRECT, or NONE for a clean namespace", setInterception},
		{"istio-inbound-ports", "b", "", "PORTS", "inbound ports to capture: * for all, a list, or empty for none", setInboundPorts},
		{"istio-local-exclude-ports", "d", "", "PORTS", "inbound ports left alone, with -b '*'", ranges(1, 65535, func(c *Command) *[]Range { return &c.Options.ExcludeInboundPorts })},
		{"istio-exclude-interfaces", "c", "", "NAMES", "interfaces captured in neither direction", setInterfaces},
		{"istio-service-cidr", "i", "", "CIDRS", "outbound destinations to capture: * for all, a list, or empty for none", setOutbound},
		{"istio-service-exclude-cidr", "x", "", "CIDRS", "outbound destinations left alone", prefixes(func(c *Command) *prefixList { return &c.Options.ExcludeOutboundCIDRs })},
		{"istio-outbound-ports", "q", "", "PORTS", "outbound ports captured whatever the address", ranges(1, 65535, func(c *Command) *[]Range { return &c.Options.OutboundPorts })},
		{"istio-local-outbound-ports-exclude", "o", "", "PORTS", "outbound ports left alone before anything else", ranges(1, 65535, func(c *Command) *[]Range { return &c.Options.ExcludeOutboundPorts })},
		{"dry-run", "n", "", "", "print the rules and change nothing", boolean(func(c *Command) *bool { return &c.DryRun })},
		{"skip-rule-apply", "", "", "", "with --run-validation: only verify", boolean(func(c *Command) *bool { return &c.SkipApply })},
		{"run-validation", "", "", "", "verify after applying; failure exits 126", boolean(func(c *Command) *bool { return &c.Validate })},
		{"iptables-probe-port", "", "", "PORT", "port for probes", warned("probes aren't built yet; the rules are compared instead", checkPort)},
		{"probe-timeout", "", "", "DURATION", "time for probes", warned("probes aren't built yet; the rules are compared instead", checkDuration)},
		{"dual-stack", "", "ISTIO_DUAL_STACK", "", "accepted; both families are the normal case", accepted(checkBool)},
		{"network-namespace", "", "", "PATH", "network namespace to work in", text(func(c *Command) *string { return &c.Namespace })},
		{"cni-mode", "", "", "", "accepted; native nftables needs no lock", accepted(checkBool)},
		{"reconcile", "", "", "", "accepted; every run converges", accepted(checkBool)},
		{"cleanup-only", "", "", "", "the same as subcommand clean", setCleanup},
		{"force-apply", "", "", "", "write the rules even if they're there", boolean(func(c *Command) *bool { return &c.Force })},
		{"native-nftables", "", "", "", "accepted; the same as --backend nftables", accepted(checkBool)},
		{"istio-inbound-tproxy-mark", "t", "", "MARK", "for TPROXY", accepted(checkNumber)},
		{"istio-inbound-tproxy-route-table", "r", "", "TABLE", "for TPROXY", accepted(checkNumber)},
		{"log_output_level", "", "-", "LEVEL", "accepted; one line is written, always", accepted(checkAny)},
		{"log_as_json", "", "-", "", "accepted; the line is JSON", accepted(checkBool)},
		{"kube-virt-interfaces", "k", "", "NAMES", unbuiltUsage, unbuilt("")},
		{"redirect-dns", "", "ISTIO_META_DNS_CAPTURE", "", unbuiltUsage, unbuilt("false")},
		{"capture-all-dns", "", "", "", unbuiltUsage, unbuilt("false")},
		{"drop-invalid", "", "INVALID_DROP", "", unbuiltUsage, unbuilt("false")},
		{"force-iptables-binary", "", "", "NAME", unbuiltUsage, setIptables},
		{"", "", "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "CIDR", "IPv4 destinations that stay in the pod", setLoopback},
		{"", "", "ISTIO_OUTBOUND_OWNER_GROUPS", "GROUPS", unbuiltUsage, unbuilt("*")},
		{"", "", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "GROUPS", unbuiltUsage, unbuilt("")},
	}
}

// ownFlags are Pillion's; their variables start with PILLION_CAPTURE_.
func ownFlags() []option {
	return []option{
		{"backend", "", ownEnv("BACKEND"), "NAME", "auto or nftables", setBackend},
		{"ip-families", "", ownEnv("IP_FAMILIES"), "NAME", "auto, ipv4, ipv6 or dual", setFamilies},
		{"exclude-outbound-uids", "", ownEnv("EXCLUDE_OUTBOUND_UIDS"), "UIDS", "UIDs or ranges whose connections are left alone", ranges(0, maxID, func(c *Command) *[]Range { return &c.Options.ExcludeOutboundUIDs })},
		{"exclude-inbound-ip-ranges", "", ownEnv("EXCLUDE_INBOUND_IP_RANGES"), "CIDRS", "sources whose connections are left alone", prefixes(func(c *Command) *prefixList { return &c.Options.ExcludeInboundFrom })},
		{"dns-port", "", ownEnv("DNS_PORT"), "PORT", "port of the resolver; must differ from the proxy's", port(func(c *Command) *uint16 { return &c.Options.DNSPort })},
		{"record", "", ownEnv("RECORD"), "FILE", "where the evidence goes; default " + RecordDefault + " if that folder is writable", setRecord},
		{"mode", "", ownEnv("MODE"), "MODE", "all", unbuilt(string(All))},
		{"arming", "", ownEnv("ARMING"), "WHEN", "early", unbuilt("early")},
		{"dialect", "", ownEnv("DIALECT"), "NAME", "pillion", unbuilt("pillion")},
		{"bypass", "", ownEnv("BYPASS"), "RULE", unbuiltUsage, unbuilt("")},
		{"proxy-mark", "", ownEnv("PROXY_MARK"), "MARK", unbuiltUsage, unbuilt("")},
		{"pod-ips", "", ownEnv("POD_IPS"), "IPS", unbuiltUsage, unbuilt("")},
		{"listed-inbound", "", ownEnv("LISTED_INBOUND"), "LIST", unbuiltUsage, unbuilt("")},
		{"listed-outbound", "", ownEnv("LISTED_OUTBOUND"), "LIST", unbuiltUsage, unbuilt("")},
	}
}

// explainFlags describe the packet explain follows.
func explainFlags() []option {
	return []option{
		{"as", "", "-", "FORM", "explain: nftables or plan", oneOf(func(c *Command) *string { return &c.As }, "nftables", "plan")},
		{"output", "", "-", "FORM", "explain a packet: text or json", oneOf(func(c *Command) *string { return &c.Output }, "text", "json")},
		{"uid", "", "-", "UID", "explain: owner of the packet", id(func(c *Command) *uint32 { return &c.Query.UID })},
		{"gid", "", "-", "GID", "explain: its group", id(func(c *Command) *uint32 { return &c.Query.GID })},
		{"iface", "", "-", "NAME", "explain: interface it takes", text(func(c *Command) *string { return &c.Query.Interface })},
		{"in", "", "-", "", "explain: it arrives", boolean(func(c *Command) *bool { return &c.Query.Inbound })},
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

// Usage is the help text.
func Usage() string {
	var b strings.Builder
	b.WriteString(usageHead)
	for _, f := range flags() {
		name := f.name()
		if f.value != "" {
			name += " " + f.value
		}
		fmt.Fprintf(&b, "  %s\n        %s", name, f.usage)
		if v := f.variable(); v != "" && v != f.long && f.long != "" {
			fmt.Fprintf(&b, " [$%s]", v)
		}
		b.WriteString("\n")
	}
	return b.String()
}

const unbuiltUsage = "isn't built yet"

const usageHead = `pillion-capture [apply|verify|explain|diff|clean] [flags]

Leads this network namespace's TCP connections into the sidecar's ports.

  apply    make the rules true; the default
  verify   compare the rules with the flags; a difference exits 126
  diff     what apply would change; a difference exits 79
  explain  the plan; with a packet (tcp SRC:PORT DST:PORT), its way through the rules
  clean    remove everything apply makes

Exit codes: 0 done, 1 refused by the kernel, 64 bad flag or environment, 69 no usable backend, 77 NET_ADMIN missing,
79 diff found differences, 126 verification failed.

`

// accepted checks a value that changes nothing.
func accepted(check func(string) error) func(*Command, string) error {
	return func(_ *Command, value string) error { return check(value) }
}

func warned(text string, check func(string) error) func(*Command, string) error {
	return func(c *Command, value string) error {
		c.Warnings = append(c.Warnings, text)
		return check(value)
	}
}

// unbuilt refuses every value but the one that means "off": what we can't do is never taken silently.
func unbuilt(off string) func(*Command, string) error {
	return func(_ *Command, value string) error {
		if value == off {
			return nil
		}
		if on, err := strconv.ParseBool(value); off == "false" && err == nil && !on {
			return nil
		}
		return fmt.Errorf("this isn't built yet; want %q", off)
	}
}

func checkAny(string) error { return nil }

func checkPort(value string) error {
	_, err := parseNumber(value, 1, 65535)
	return err
}

func checkNumber(value string) error {
	_, err := strconv.ParseUint(value, 0, 32)
	if err != nil {
		return errors.New("want a number below 4294967296")
	}
	return nil
}

func checkBool(value string) error {
	_, err := parseBool(value)
	return err
}

func checkDuration(value string) error {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return errors.New("want a duration such as 5s")
	}
	return nil
}

func parseBool(value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, errors.New("want true or false")
	}
	return b, nil
}

// defaultUIDs are the proxy's UIDs if nobody sets them.
func defaultUIDs(env Environment) []uint32 {
	user := env.Vars["ENVOY_USER"]
	if user == "" {
		user = "istio-proxy"
	}
	if env.LookupUID != nil {
		if uid, ok := env.LookupUID(user); ok {
			return []uint32{uid}
		}
	}
	return []uint32{istio.ProxyUID}
}
