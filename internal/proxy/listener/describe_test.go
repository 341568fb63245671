package listener

import (
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// TestUnnamedChains: who asks why sees what a chain takes if it has no name.
func TestUnnamedChains(t *testing.T) {
	all := config.ChainMatch{
		DestinationPort: 80, Destinations: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, ServerNames: []string{"a", "*.b"},
		TransportProtocol: "tls", ApplicationProtocols: []string{"h2"}, DirectSources: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		SourceType: config.SameIPOrLoopback, Sources: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, SourcePorts: []uint16{7, 8},
	}
	for _, c := range []struct {
		name  string
		match config.ChainMatch
		want  string
	}{
		{"web", all, `"web"`},
		{"", config.ChainMatch{}, "without name, for all connections"},
		{"", config.ChainMatch{DestinationPort: 80, TransportProtocol: "raw_buffer"}, "without name, for port 80, transport raw_buffer"},
		{"", all, "without name, for port 80, destination 10.0.0.0/8, server name a *.b, transport tls, ALPN h2, direct source 10.1.0.0/16, source this host, source 10.2.0.0/16, source port 7 8"},
	} {
		if got := describe(&config.Chain{Name: c.name, Match: c.match}); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestTraceTellsUnnamedChain(t *testing.T) {
	chain := &config.Chain{Match: config.ChainMatch{DestinationPort: 80}}
	r := config.NewRuntime([]*config.Listener{{Name: "l", Chains: []*config.Chain{chain}}}, nil)
	var tr stream.Trace
	_, got := NewTable(r, nil).Choose("l", &Facts{Destination: netip.MustParseAddrPort("10.0.0.1:80"), Transport: TransportRaw}, &tr)
	if last := tr.Steps[len(tr.Steps)-1]; got != chain || last.Reason != "without name, for port 80" {
		t.Errorf("%+v", tr.Steps)
	}
}
