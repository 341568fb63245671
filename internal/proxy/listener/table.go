package listener

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"sync"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
)

// Table is what a configuration's listeners became: their chains in trees, and who takes which original destination.
// It is never changed after it was made.
type Table struct {
	runtime   *config.Runtime
	byName    map[string]*Compiled
	byAddress map[netip.AddrPort]*Compiled // of those that take hand-offs
}

// Compiled is a listener ready to take connections.
type Compiled struct {
	Config *config.Listener
	tree   tree
	always needs // of the default chain and the listener's own logs, whatever the port
	tls    map[*config.Chain]*tls.Config

	// What the Acceptor needs of it, made on first use.
	once     sync.Once
	stats    *telemetry.Listener
	logsOnce sync.Once
	logs     *telemetry.LogSet
}

// NewTable compiles the listeners of r. Those that old has already are taken from it; old may be nil.
func NewTable(r *config.Runtime, old *Table) *Table {
	t := &Table{runtime: r, byName: map[string]*Compiled{}, byAddress: map[netip.AddrPort]*Compiled{}}
	for l := range r.Listeners {
		t.add(l, old)
	}
	return t
}

func (t *Table) add(l *config.Listener, old *Table) {
	c := old.Listener(l.Name)
	if c == nil || c.Config != l {
		c = Compile(l, c)
	}
	t.byName[l.Name] = c
	for _, address := range l.Addresses {
		if takesHandOff(l, address) {
			t.byAddress[address] = c
		}
		t.addCompat(c, address)
	}
}

// addCompat gives an IPv6 listener on all addresses IPv4's connections too, unless a listener has that address itself.
func (t *Table) addCompat(c *Compiled, address netip.AddrPort) {
	if !c.Config.IPv4Compat || address.Addr() != netip.IPv6Unspecified() || !takesHandOff(c.Config, address) {
		return
	}
	v4 := netip.AddrPortFrom(netip.IPv4Unspecified(), address.Port())
	if t.runtime.At(v4) == nil {
		t.byAddress[v4] = c
	}
}

// takesHandOff reports whether connections may be handed to l at an address of it. The capture ports take none, and a
// port of the sidecar on every address is meant for who connects to it, not for connections on their way to such a
// port of another pod.
func takesHandOff(l *config.Listener, address netip.AddrPort) bool {
	if l.HandOff || l.Name == config.VirtualInbound {
		return false
	}
	return !address.Addr().IsUnspecified() || !slices.Contains(sidecarPorts, address.Port())
}

var sidecarPorts = []uint16{
	istio.PortAdmin, istio.PortOutbound, istio.PortInbound, istio.PortStatus,
	istio.PortReady, istio.PortDNS, istio.PortProxyStats,
}

// Runtime is the configuration the table was made of.
func (t *Table) Runtime() *config.Runtime { return t.runtime }

// Listener returns the listener of that name, or nil. A nil Table has none.
func (t *Table) Listener(name string) *Compiled {
	if t == nil {
		return nil
	}
	return t.byName[name]
}

// HandOff returns the listener that takes a connection which from accepted and which was going to dst: dst's own, that
// of dst's port on all addresses, else from itself. Only a listener with use_original_dst hands off, and only once.
func (t *Table) HandOff(from *Compiled, dst netip.AddrPort, tr *stream.Trace) *Compiled {
	if !from.Config.HandOff {
		if tr.On() {
			tr.Note("listener", "%q hands nothing off", from.Config.Name)
		}
		return from
	}
	if to := t.byAddress[dst]; to != nil {
		if tr.On() {
			tr.Note("listener", "%q has the address %s", to.Config.Name, dst)
		}
		return to
	}
	wildcard := netip.AddrPortFrom(unspecified(dst.Addr()), dst.Port())
	if to := t.byAddress[wildcard]; to != nil {
		if tr.On() {
			tr.Note("listener", "%q has the address %s", to.Config.Name, wildcard)
		}
		return to
	}
	if tr.On() {
		tr.Note("listener", "no listener has %s or %s: %q keeps the connection", dst, wildcard, from.Config.Name)
	}
	return from
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// Compile makes a listener ready. TLS contexts of chains that old has too are taken from it, with their sessions; old
// may be nil.
func Compile(l *config.Listener, old *Compiled) *Compiled {
	c := &Compiled{Config: l, tree: buildTree(l.Chains), tls: map[*config.Chain]*tls.Config{}}
	for _, chain := range l.Chains {
		c.prepare(chain, old)
	}
	if l.Default != nil {
		c.prepare(l.Default, old)
		c.always |= needsOf(l.Default)
	}
	if logsWantName(l.AccessLogs) {
		c.always |= needTLS
	}
	return c
}

func (c *Compiled) prepare(chain *config.Chain, old *Compiled) {
	if chain.TLS == nil {
		return
	}
	if old != nil && old.tls[chain] != nil {
		c.tls[chain] = old.tls[chain]
		return
	}
	c.tls[chain] = tlsctx.Server(chain.TLS)
}

// needs returns what must be known of a connection's first bytes to choose its chain.
func (c *Compiled) needs(port uint16) needs {
	branch := c.tree.branch(port, nil)
	if branch == nil {
		return c.always
	}
	return c.always | branch.needs
}
