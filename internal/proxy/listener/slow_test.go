package listener

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// slowSelect is Select without trees. At each level every chain left says how well it fits, -1: not at all; the best
// stay. A level no chain left fits at ends the choice.
func slowSelect(chains []*config.Chain, f *Facts) *config.Chain {
	left := chains
	for _, fit := range []func(*config.ChainMatch, *Facts) int{
		fitPort, fitDestination, fitName, fitTransport, fitProtocol, fitDirect, fitType, fitSource, fitSourcePort,
	} {
		best := -1
		var kept []*config.Chain
		for _, chain := range left {
			switch n := fit(&chain.Match, f); {
			case n < 0 || n < best:
			case n > best:
				best, kept = n, []*config.Chain{chain}
			default:
				kept = append(kept, chain)
			}
		}
		left = kept
	}
	if len(left) == 0 {
		return nil
	}
	return left[0]
}

func asked(there bool) int {
	if there {
		return 1
	}
	return -1
}

func fitPort(m *config.ChainMatch, f *Facts) int {
	if m.DestinationPort == 0 {
		return 0
	}
	return asked(m.DestinationPort == f.Destination.Port())
}

func fitPrefixes(list []netip.Prefix, a netip.Addr) int {
	if len(list) == 0 {
		return 0
	}
	best := -1
	for _, p := range list {
		if p.Contains(a) {
			best = max(best, p.Bits()+1)
		}
	}
	return best
}

func fitDestination(m *config.ChainMatch, f *Facts) int {
	return fitPrefixes(m.Destinations, f.Destination.Addr())
}
func fitDirect(m *config.ChainMatch, f *Facts) int {
	return fitPrefixes(m.DirectSources, f.DirectSource)
}
func fitSource(m *config.ChainMatch, f *Facts) int { return fitPrefixes(m.Sources, f.Source.Addr()) }

func fitName(m *config.ChainMatch, f *Facts) int {
	if len(m.ServerNames) == 0 {
		return 0
	}
	best := -1
	for _, name := range m.ServerNames {
		suffix, wild := strings.CutPrefix(name, "*")
		switch {
		case !wild && name == f.ServerName:
			best = 1000
		case wild && strings.HasSuffix(f.ServerName, suffix) && len(f.ServerName) > len(suffix):
			best = max(best, len(suffix))
		}
	}
	return best
}

func fitTransport(m *config.ChainMatch, f *Facts) int {
	if m.TransportProtocol == "" {
		return 0
	}
	return asked(m.TransportProtocol == f.Transport)
}

func fitProtocol(m *config.ChainMatch, f *Facts) int {
	if len(m.ApplicationProtocols) == 0 {
		return 0
	}
	best := -1
	for i, offered := range f.Protocols {
		for _, p := range m.ApplicationProtocols {
			if p == offered {
				best = max(best, len(f.Protocols)-i)
			}
		}
	}
	return best
}

func fitType(m *config.ChainMatch, f *Facts) int {
	a := f.Source.Addr().String()
	local := a == "127.0.0.1" || a == "::1" || a == f.Destination.Addr().String()
	switch m.SourceType {
	case config.SameIPOrLoopback:
		return asked(local)
	case config.ExternalSource:
		return asked(!local)
	default:
		return 0
	}
}

func fitSourcePort(m *config.ChainMatch, f *Facts) int {
	if len(m.SourcePorts) == 0 {
		return 0
	}
	for _, p := range m.SourcePorts {
		if p == f.Source.Port() {
			return 1
		}
	}
	return -1
}

// Random values come from small sets, so that chains and connections meet.
var (
	somePrefixes = prefixes("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "0.0.0.0/0", "::/0", "fd00::/8", "fd00::1/128", "127.0.0.0/8")
	someAddrs    = []string{"10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.9.9", "192.0.2.1", "127.0.0.1", "::1", "fd00::1", "fd00::2", "2001:db8::1"}
	someNames    = []string{"a.b.c", "b.c", "*.b.c", "*.c", "x.a.b.c", "*.a.b.c", "d"}
	someALPN     = []string{"h2", "http/1.1", "istio", "istio-peer-exchange"}
	someTypes    = []config.SourceType{config.AnySource, config.SameIPOrLoopback, config.ExternalSource}
)

func one[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func some[T any](r *rand.Rand, odds int, from []T) (list []T) {
	for r.IntN(odds) == 0 {
		list = append(list, one(r, from))
	}
	return list
}

func randomChain(r *rand.Rand, i int) *config.Chain {
	c := &config.Chain{Name: fmt.Sprint(i), Match: config.ChainMatch{
		Destinations: some(r, 3, somePrefixes), ServerNames: some(r, 3, someNames), ApplicationProtocols: some(r, 3, someALPN),
		DirectSources: some(r, 6, somePrefixes), SourceType: one(r, someTypes), Sources: some(r, 4, somePrefixes),
		SourcePorts: some(r, 6, []uint16{1, 2}),
	}}
	if r.IntN(2) == 0 {
		c.Match.DestinationPort = one(r, []uint16{80, 443})
	}
	if r.IntN(3) == 0 {
		c.Match.TransportProtocol = one(r, []string{TransportTLS, TransportRaw})
	}
	return c
}

func randomFacts(r *rand.Rand) *Facts {
	addr := func() netip.Addr { return netip.MustParseAddr(one(r, someAddrs)) }
	f := &Facts{
		Destination: netip.AddrPortFrom(addr(), one(r, []uint16{80, 443, 8080})), Source: netip.AddrPortFrom(addr(), one(r, []uint16{1, 2, 3})),
		Transport: TransportRaw, Protocols: some(r, 2, someALPN),
	}
	f.DirectSource = f.Source.Addr()
	if r.IntN(2) == 0 {
		f.Transport, f.ServerName = TransportTLS, one(r, []string{"a.b.c", "b.c", "c", "x.b.c", "y.x.a.b.c", "d", "d.d", ""})
	}
	return f
}

// TestSelectAsSlowly: random chains, random connections, both versions choose the same.
func TestSelectAsSlowly(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	hits := 0
	for round := range 2000 {
		var chains []*config.Chain
		for i := range 1 + r.IntN(12) {
			chains = append(chains, randomChain(r, i))
		}
		l := Compile(&config.Listener{Chains: chains}, nil)
		for range 40 {
			f := randomFacts(r)
			want := slowSelect(chains, f)
			trace := &stream.Trace{}
			if got := l.Select(f, trace); got != want || l.Select(f, nil) != want {
				t.Fatalf("round %d, %+v: %v, slowly %v\n%v", round, f, name(got), name(want), trace.Steps)
			}
			if want != nil {
				hits++
			}
		}
	}
	if hits < 5000 {
		t.Errorf("only %d connections fit any chain: the test says little", hits)
	}
}

func name(c *config.Chain) string {
	if c == nil {
		return "none"
	}
	return fmt.Sprintf("%s %+v", c.Name, c.Match)
}

// inboundChains are n chains as a sidecar with many ports has them: three a port.
func manyChains(n int) (chains []*config.Chain) {
	for i := range n / 4 {
		port := uint16(i + 1)
		for _, m := range []config.ChainMatch{
			{DestinationPort: port, TransportProtocol: TransportTLS, ApplicationProtocols: []string{"istio-http/1.0", "istio-http/1.1", "istio-h2"}},
			{DestinationPort: port, TransportProtocol: TransportTLS, ApplicationProtocols: []string{"istio-peer-exchange", "istio"}},
			{DestinationPort: port, TransportProtocol: TransportRaw, ApplicationProtocols: []string{"http/1.1", "h2c"}},
			{DestinationPort: port, TransportProtocol: TransportRaw},
		} {
			chains = append(chains, &config.Chain{Match: m})
		}
	}
	return chains
}

func BenchmarkSelect(b *testing.B) {
	ports := Compile(&config.Listener{Chains: manyChains(2000)}, nil)
	var ranged []*config.Chain
	for i := range 2000 {
		ranged = append(ranged, &config.Chain{Match: config.ChainMatch{
			Destinations: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)}}})
	}
	addresses := Compile(&config.Listener{Chains: ranged}, nil)
	f := &Facts{Destination: netip.MustParseAddrPort("10.1.3.4:321"), Source: netip.MustParseAddrPort("10.9.9.9:4000"),
		DirectSource: netip.MustParseAddr("10.9.9.9"), Transport: TransportTLS, ServerName: "outbound_.80_._.shop.ns.svc.cluster.local",
		Protocols: []string{"istio-peer-exchange", "istio"}}
	for _, c := range []struct {
		name string
		l    *Compiled
	}{{"ports", ports}, {"addresses", addresses}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c.l.Select(f, nil) == nil {
					b.Fatal("no chain")
				}
			}
		})
	}
}

// TestSelectAllocates nothing, for it stands before every connection.
func TestSelectAllocates(t *testing.T) {
	l := Compile(&config.Listener{Chains: manyChains(40)}, nil)
	f := &Facts{Destination: netip.MustParseAddrPort("10.1.3.4:3"), Source: netip.MustParseAddrPort("10.9.9.9:4000"),
		DirectSource: netip.MustParseAddr("10.9.9.9"), Transport: TransportTLS, ServerName: "a.b.c", Protocols: []string{"istio"}}
	if n := testing.AllocsPerRun(100, func() { l.Select(f, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
