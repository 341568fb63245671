package listener

import (
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// TestStatic: the chains there are without a control plane.
func TestStatic(t *testing.T) {
	runtime := config.Static(config.Settings{})
	table := NewTable(runtime, nil)
	for _, c := range []struct{ listener, dst, want string }{
		{config.VirtualOutbound, "10.0.0.1:80", config.ChainOutboundCatchAll},
		{config.VirtualOutbound, "10.0.0.1:15006", config.ChainOutboundCatchAll},
		{config.VirtualOutbound, "[fd00::1]:15001", config.ChainOutboundBlackhole},
		{config.VirtualInbound, "10.0.0.1:8080", config.ChainInboundCatchAll},
		{config.VirtualInbound, "10.0.0.1:15006", config.ChainInboundBlackhole},
	} {
		trace := &stream.Trace{}
		l, chain := table.Choose(c.listener, &Facts{Destination: netip.MustParseAddrPort(c.dst), Transport: TransportRaw}, trace)
		if l.Name != c.listener || chain.Name != c.want || len(trace.Steps) < 2 {
			t.Errorf("%s to %s: chain %s of %s, want %s, %v", c.listener, c.dst, chain.Name, l.Name, c.want, trace.Steps)
		}
		if runtime.Cluster(chain.TCP.Clusters[0].Name) == nil {
			t.Errorf("chain %s names the cluster %q, which there isn't", chain.Name, chain.TCP.Clusters[0].Name)
		}
	}
	if l, chain := table.Choose("none", &Facts{}, nil); l != nil || chain != nil {
		t.Error("a listener nobody configured")
	}
	none := Compile(&config.Listener{}, nil)
	if chain := none.Select(&Facts{Destination: netip.MustParseAddrPort("10.0.0.1:80")}, nil); chain != nil {
		t.Errorf("a listener without chains gives %s", chain.Name)
	}
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// TestOrder has one listener of each rule of section 4: the most specific branch is taken and there is no way back.
func TestOrder(t *testing.T) {
	chain := func(name string, m config.ChainMatch) *config.Chain { return &config.Chain{Name: name, Match: m} }
	facts := func(change func(*Facts)) *Facts {
		f := &Facts{Destination: netip.MustParseAddrPort("10.1.2.3:80"), Source: netip.MustParseAddrPort("10.9.9.9:4000"),
			DirectSource: netip.MustParseAddr("10.9.9.9"), Transport: TransportRaw}
		change(f)
		return f
	}
	as := func(*Facts) {}
	for _, c := range []struct {
		name   string
		chains []*config.Chain
		facts  *Facts
		want   string
	}{
		{"a port with chains never gets those without", []*config.Chain{
			chain("port", config.ChainMatch{DestinationPort: 80, TransportProtocol: "tls"}), chain("any", config.ChainMatch{}),
		}, facts(as), "default"},
		{"longest prefix", []*config.Chain{
			chain("8", config.ChainMatch{Destinations: prefixes("10.0.0.0/8")}),
			chain("24", config.ChainMatch{Destinations: prefixes("10.1.2.0/24", "fd00::/8")}),
			chain("none", config.ChainMatch{}),
		}, facts(as), "24"},
		{"no way back from a prefix", []*config.Chain{
			chain("24", config.ChainMatch{Destinations: prefixes("10.1.2.0/24"), ServerNames: []string{"a.b"}}),
			chain("none", config.ChainMatch{}),
		}, facts(as), "default"},
		{"exact server name first", []*config.Chain{
			chain("suffix", config.ChainMatch{ServerNames: []string{"*.b.c"}}), chain("exact", config.ChainMatch{ServerNames: []string{"a.b.c"}}),
		}, facts(func(f *Facts) { f.ServerName = "a.b.c" }), "exact"},
		{"longest suffix", []*config.Chain{
			chain("c", config.ChainMatch{ServerNames: []string{"*.c"}}), chain("b.c", config.ChainMatch{ServerNames: []string{"*.b.c"}}),
		}, facts(func(f *Facts) { f.ServerName = "x.a.b.c" }), "b.c"},
		{"a suffix isn't itself", []*config.Chain{chain("b.c", config.ChainMatch{ServerNames: []string{"*.b.c"}})},
			facts(func(f *Facts) { f.ServerName = "b.c" }), "default"},
		{"the client's first protocol that has a chain", []*config.Chain{
			chain("h2", config.ChainMatch{ApplicationProtocols: []string{"h2"}}),
			chain("1.1", config.ChainMatch{ApplicationProtocols: []string{"http/1.1"}}), chain("none", config.ChainMatch{}),
		}, facts(func(f *Facts) { f.Protocols = []string{"spdy", "http/1.1", "h2"} }), "1.1"},
		{"the transport protocol", []*config.Chain{
			chain("tls", config.ChainMatch{TransportProtocol: "tls"}), chain("raw", config.ChainMatch{TransportProtocol: "raw_buffer"}),
		}, facts(as), "raw"},
		{"a local source", []*config.Chain{
			chain("local", config.ChainMatch{SourceType: config.SameIPOrLoopback}), chain("external", config.ChainMatch{SourceType: config.ExternalSource}),
		}, facts(func(f *Facts) { f.Source = netip.MustParseAddrPort("10.1.2.3:9") }), "local"},
		{"127.0.0.6 isn't loopback here", []*config.Chain{
			chain("local", config.ChainMatch{SourceType: config.SameIPOrLoopback}), chain("any", config.ChainMatch{}),
		}, facts(func(f *Facts) { f.Source = netip.MustParseAddrPort("127.0.0.6:9") }), "any"},
		{"a type that fits has no way back", []*config.Chain{
			chain("external", config.ChainMatch{SourceType: config.ExternalSource, SourcePorts: []uint16{1}}), chain("any", config.ChainMatch{}),
		}, facts(as), "default"},
		{"source prefix and port", []*config.Chain{
			chain("port", config.ChainMatch{Sources: prefixes("10.9.0.0/16"), SourcePorts: []uint16{4000}}),
			chain("prefix", config.ChainMatch{Sources: prefixes("10.9.0.0/16")}),
		}, facts(as), "port"},
		{"direct source", []*config.Chain{
			chain("lb", config.ChainMatch{DirectSources: prefixes("10.9.0.0/16")}), chain("none", config.ChainMatch{}),
		}, facts(func(f *Facts) { f.DirectSource = netip.MustParseAddr("10.8.0.1") }), "none"},
	} {
		l := Compile(&config.Listener{Chains: c.chains, Default: &config.Chain{Name: "default"}}, nil)
		trace := &stream.Trace{}
		if got := l.Select(c.facts, trace); got.Name != c.want {
			t.Errorf("%s: %s, want %s\n%v", c.name, got.Name, c.want, trace.Steps)
		}
	}
}
