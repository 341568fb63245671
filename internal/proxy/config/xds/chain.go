package xds

import (
	"fmt"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) chains(m *listenerv3.Listener, out *config.Listener) {
	seen := &chainMatches{chains: map[string]int{}}
	for i, c := range m.FilterChains {
		d.at("filter_chains", i, func() {
			chain := d.chain(c)
			d.uniqueMatch(seen, i, &chain.Match)
			out.Chains = append(out.Chains, chain)
		})
	}
	if m.DefaultFilterChain != nil {
		d.in("default_filter_chain", func() { out.Default = d.chain(m.DefaultFilterChain) })
	}
	if len(out.Chains) == 0 && out.Default == nil {
		d.failIn("filter_chains", "none")
	}
}

func (d *decoder) chain(c *listenerv3.FilterChain) *config.Chain {
	out := &config.Chain{
		Name:             c.GetName(),
		HandshakeTimeout: d.duration("transport_socket_connect_timeout", c.GetTransportSocketConnectTimeout(), 0),
	}
	d.in("filter_chain_match", func() { out.Match = d.chainMatch(c.GetFilterChainMatch()) })
	if truth(c.GetUseProxyProto(), false) {
		d.failIn("use_proxy_proto", "not supported")
	}
	d.in("transport_socket", func() { out.TLS = d.serverSocket(c.GetTransportSocket()) })
	for i, f := range c.GetFilters() {
		d.step(segment{"filters", i, f.GetName()}, func() {
			d.networkFilter(f, i == len(c.GetFilters())-1, out)
		})
	}
	if len(c.GetFilters()) == 0 {
		d.fail("no terminal filter")
	}
	return out
}

// networkFilter decodes a filter of a chain; exactly the last must be a terminal one.
func (d *decoder) networkFilter(f *listenerv3.Filter, last bool, out *config.Chain) {
	if f.GetConfigDiscovery() != nil {
		d.failIn("config_discovery", "not supported")
		return
	}
	t := d.open(f.GetTypedConfig())
	terminal := t.message == hcmType || t.message == tcpType
	switch {
	case terminal && !last:
		d.fail("terminal filter is not last")
	case t.message == hcmType:
		out.HTTP = d.httpManager(t)
	case t.message == tcpType:
		out.TCP = d.tcpProxy(t)
	default:
		out.Filters = d.plainFilter(f.GetName(), t, out.Filters)
	}
	if last && !terminal {
		d.fail("no terminal filter behind it")
	}
}

// plainFilter appends a network filter that isn't terminal.
func (d *decoder) plainFilter(name string, t typed, list []config.NetworkFilter) []config.NetworkFilter {
	i := slices.IndexFunc(networkFilters, func(k networkFilterType) bool { return k.message == t.message })
	if i < 0 {
		d.fail("not supported")
		return list
	}
	switch k := networkFilters[i]; {
	case k.level == built:
		return append(list, config.NetworkFilter{Name: d.intern(name), Config: k.decode(d, t)})
	case k.level == counts:
		d.note(Degraded, name)
	case k.failOpen != nil && k.failOpen(d, t):
		d.note(Skipped, name)
	default:
		d.fail("%s", k.level.reason())
	}
	return list
}

func (d *decoder) chainMatch(m *listenerv3.FilterChainMatch) config.ChainMatch {
	out := config.ChainMatch{
		DestinationPort:      d.port("destination_port", number(m.GetDestinationPort(), 0)),
		Destinations:         d.prefixes("prefix_ranges", m.GetPrefixRanges()),
		DirectSources:        d.prefixes("direct_source_prefix_ranges", m.GetDirectSourcePrefixRanges()),
		Sources:              d.prefixes("source_prefix_ranges", m.GetSourcePrefixRanges()),
		ApplicationProtocols: slices.Clone(m.GetApplicationProtocols()),
		ServerNames:          d.serverNames(m.GetServerNames()),
	}
	for i, p := range m.GetSourcePorts() {
		d.at("source_ports", i, func() { out.SourcePorts = append(out.SourcePorts, d.port("value", p)) })
	}
	if m.GetAddressSuffix() != "" || m.GetSuffixLen() != nil {
		d.failIn("address_suffix", "not supported")
	}
	if out.TransportProtocol = d.intern(m.GetTransportProtocol()); !slices.Contains([]string{"", "tls", "raw_buffer"}, out.TransportProtocol) {
		d.failIn("transport_protocol", "%q is not supported", excerpt(out.TransportProtocol))
	}
	d.sourceType(m.GetSourceType(), &out)
	return out
}

func (d *decoder) sourceType(t listenerv3.FilterChainMatch_ConnectionSourceType, out *config.ChainMatch) {
	switch t {
	case listenerv3.FilterChainMatch_ANY:
	case listenerv3.FilterChainMatch_SAME_IP_OR_LOOPBACK:
		out.SourceType = config.SameIPOrLoopback
	case listenerv3.FilterChainMatch_EXTERNAL:
		out.SourceType = config.ExternalSource
	default:
		d.failIn("source_type", "unknown type %d", t)
	}
}

func (d *decoder) serverNames(names []string) []string {
	out := d.lowered(names)
	for i, name := range out {
		if strings.Contains(strings.TrimPrefix(name, "*."), "*") {
			d.at("server_names", i, func() { d.fail("%q: a wildcard is only possible as the whole first label", excerpt(name)) })
		}
	}
	return out
}

// maxMatches and maxMatchBytes bound what the matches of a listener's chains are taken apart to. Beyond it, only equal
// matches are found to be duplicates.
const (
	maxMatches    = 1 << 16
	maxMatchBytes = 16 << 20
)

// chainMatches are the single matches seen, with the chain they're of, and how many bytes they have.
type chainMatches struct {
	chains map[string]int
	bytes  int
}

// uniqueMatch refuses a chain that could be chosen for exactly what another one is chosen for.
func (d *decoder) uniqueMatch(seen *chainMatches, chain int, m *config.ChainMatch) {
	for _, key := range matchKeys(m, maxMatches-len(seen.chains), maxMatchBytes-seen.bytes) {
		other, there := seen.chains[key]
		if there && other != chain {
			d.failIn("filter_chain_match", "the same as that of filter_chains[%d]", other)
			return
		}
		seen.chains[key] = chain
		seen.bytes += len(key)
	}
}

// matchKeys takes a match apart: one key for each combination of the members of its lists. With more keys or bytes than
// there's room for, the whole match is the only key.
func matchKeys(m *config.ChainMatch, room, bytes int) []string {
	lists := [][]string{
		{fmt.Sprint(m.DestinationPort)}, keyed(m.Destinations), keyed(m.ServerNames), {m.TransportProtocol},
		keyed(m.ApplicationProtocols), keyed(m.DirectSources), {fmt.Sprint(m.SourceType)}, keyed(m.Sources), keyed(m.SourcePorts),
	}
	size, length := 1, 0
	for _, l := range lists {
		size, length = size*len(l), length+longest(l)+1
		if size > room || size*length > bytes {
			return []string{fmt.Sprint(lists)}
		}
	}
	keys := []string{""}
	for _, l := range lists {
		keys = crossed(keys, l)
	}
	return keys
}

func longest(list []string) (n int) {
	for _, s := range list {
		n = max(n, len(s))
	}
	return n
}

func keyed[T any](list []T) []string {
	if len(list) == 0 {
		return []string{""}
	}
	out := make([]string, len(list))
	for i := range list {
		out[i] = fmt.Sprint(list[i])
	}
	return out
}

func crossed(keys, list []string) []string {
	out := make([]string, 0, len(keys)*len(list))
	for _, key := range keys {
		for _, each := range list {
			out = append(out, key+"|"+each)
		}
	}
	return out
}
