package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Query is what explain's flags say about a packet. What isn't said is the zero value.
type Query struct {
	Inbound   bool
	Proto     string // tcp or udp; "" = tcp
	Interface string
	UID, GID  uint32
	Mark      uint32         // of the packet
	Src, Dst  netip.AddrPort // an address without a port has port 0, a port without an address no valid address
}

// Asked says that the flags describe a packet.
func (q Query) Asked() bool { return q.Dst != (netip.AddrPort{}) }

// explainFlags describe the packet explain follows.
func explainFlags() []option {
	return []option{
		{"as", "", "-", "FORM", "explain: nftables, plan, or iptables' rules as pillion, istio, istio-1.8 or tsf", oneOf(func(c *Command) *string { return &c.As }, "nftables", "plan", "pillion", "istio", "istio-1.8", "tsf")},
		{"output", "", "-", "FORM", "explain, diff, verify: text or json; short: -o json", oneOf(func(c *Command) *string { return &c.Output }, "text", "json")},
		{"from", "", "-", "WHO", "explain: where a packet comes from: uid:N, gid:N, mark:N, ADDRESS or ADDRESS:PORT, iface:NAME, or several with commas", setFrom},
		{"to", "", "-", "ADDRESS:PORT", "explain: where it goes; :PORT is this pod's own", setTo},
		{"proto", "", "-", "NAME", "explain: tcp or udp", oneOf(func(c *Command) *string { return &c.Query.Proto }, "tcp", "udp")},
		{"uid", "", "-", "UID", "explain: owner of the packet", id(func(c *Command) *uint32 { return &c.Query.UID })},
		{"gid", "", "-", "GID", "explain: its group", id(func(c *Command) *uint32 { return &c.Query.GID })},
		{"iface", "", "-", "NAME", "explain: interface it takes", text(func(c *Command) *string { return &c.Query.Interface })},
		{"in", "", "-", "", "explain: it arrives", boolean(func(c *Command) *bool { return &c.Query.Inbound })},
	}
}

// orOutput takes "-o json" for what everybody means by it: Istio's -o is a list of ports, and none is called json.
func orOutput(ports setter) setter {
	return func(c *Command, value string) error {
		if value == "json" || value == "text" {
			c.Output = value
			return nil
		}
		return ports(c, value)
	}
}

func setFrom(c *Command, value string) error {
	items, err := split(value)
	if err != nil {
		return err
	}
	for _, item := range items {
		if err := c.Query.from(item); err != nil {
			return err
		}
	}
	return nil
}

func (q *Query) from(item string) (err error) {
	kind, rest, _ := strings.Cut(item, ":")
	switch kind {
	case "uid":
		q.UID, err = parseNumber(rest, 0, maxID)
	case "gid":
		q.GID, err = parseNumber(rest, 0, maxID)
	case "mark":
		var n uint64
		if n, err = strconv.ParseUint(rest, 0, 32); err != nil {
			err = fmt.Errorf("%q is not a packet mark; want a number such as 0x100", rest)
		}
		q.Mark = uint32(n)
	case "iface":
		q.Interface = rest
		if !validInterface(rest) {
			err = fmt.Errorf("%q is not an interface name", rest)
		}
	default:
		q.Src, err = parseEndpoint(item)
		if err != nil {
			err = fmt.Errorf("%q: want uid:N, gid:N, mark:N, iface:NAME, ADDRESS or ADDRESS:PORT", item)
		}
	}
	return err
}

func setTo(c *Command, value string) (err error) {
	if c.Query.Dst, err = parseEndpoint(value); err == nil && c.Query.Dst.Port() == 0 {
		err = errors.New("want ADDRESS:PORT, or :PORT for this pod's own address")
	}
	return err
}

// parseEndpoint reads ADDRESS:PORT, or one of the two: "10.0.0.5", "[fd00::5]:80", ":80".
func parseEndpoint(s string) (netip.AddrPort, error) {
	if digits, found := strings.CutPrefix(s, ":"); found && !strings.Contains(digits, ":") {
		port, err := parseNumber(digits, 1, 65535)
		return netip.AddrPortFrom(netip.Addr{}, uint16(port)), err
	}
	endpoint, err := netip.ParseAddrPort(s)
	if err != nil {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			endpoint = netip.AddrPortFrom(addr, 0)
		}
	}
	if err != nil || endpoint.Addr().Is4In6() || endpoint.Addr().Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%q is not ADDRESS:PORT", s)
	}
	return endpoint, nil
}

// neutral are flags that say nothing of a plan.
const neutral = "record network-namespace log_output_level log_as_json backend native-nftables force-iptables-binary"

// shapes says whether a flag of the command line shapes the plan. The environment doesn't count: the proxy's container
// may have variables that are for others.
func shapes(given map[string][]string) bool {
	quiet := strings.Fields(neutral)
	for _, f := range explainFlags() {
		quiet = append(quiet, f.long)
	}
	for name, values := range given {
		output := slices.ContainsFunc(values, func(v string) bool { return v == "json" || v == "text" }) // by -o
		if !slices.Contains(quiet, name) && !output {
			return true
		}
	}
	return false
}
