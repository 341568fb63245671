package listener

import (
	"net/netip"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Facts are what a chain is chosen by.
type Facts struct {
	Destination  netip.AddrPort // the original one
	Source       netip.AddrPort
	DirectSource netip.Addr // the socket's peer; differs from Source behind a PROXY protocol
	ServerName   string     // of TLS, in lower case; empty: none
	Transport    string     // TransportTLS or TransportRaw
	Protocols    []string   // the client's ALPN, or what its first bytes look like
}

// Values of Facts.Transport.
const (
	TransportTLS = "tls"
	TransportRaw = "raw_buffer"
)

// What Select's trace calls its steps.
const stepChain = "chain"

// Select returns the chain for a connection, or nil if it must be closed. At each level the most specific branch that
// fits is taken, and there is no way back: a connection to a port that has chains of its own gets one of them or the
// default, never one without a port. It is pure.
func (c *Compiled) Select(f *Facts, tr *stream.Trace) *config.Chain {
	if chain := c.tree.find(f, tr); chain != nil {
		if tr.On() {
			tr.Note(stepChain, "%s", describe(chain))
		}
		return chain
	}
	if tr.On() {
		noteDefault(c.Config.Default, tr)
	}
	return c.Config.Default
}

// Choose is the whole way of a connection that the listener called name accepts: hand-off, then the chain. Both are nil if
// there is no such listener, the chain if the connection must be closed. It is pure, for people who ask why.
func (t *Table) Choose(name string, f *Facts, tr *stream.Trace) (*config.Listener, *config.Chain) {
	from := t.Listener(name)
	if from == nil {
		return nil, nil
	}
	l := t.HandOff(from, f.Destination, tr)
	return l.Config, l.Select(f, tr)
}

func noteDefault(chain *config.Chain, tr *stream.Trace) {
	if chain == nil {
		tr.Note(stepChain, "none fits and there is no default: closed, NR")
		return
	}
	tr.Note(stepChain, "none fits: the default chain %s", describe(chain))
}

func (t *tree) find(f *Facts, tr *stream.Trace) *config.Chain {
	branch := t.branch(f.Destination.Port(), tr)
	if branch == nil {
		return nil
	}
	names, prefix := branch.destinations.longest(f.Destination.Addr())
	if notePrefix(tr, "destination", f.Destination.Addr(), names != nil, prefix, branch.destinations.asked()); names == nil {
		return nil
	}
	transports := names.find(f.ServerName, tr)
	if transports == nil {
		return nil
	}
	protocols := pick(transports, f.Transport, "transport protocol", tr)
	if protocols == nil {
		return nil
	}
	direct := protocols.find(f.Protocols, tr)
	if direct == nil {
		return nil
	}
	return fromSource(direct, f, tr)
}

// branch returns the chains of a port, or those that don't ask for one.
func (t *tree) branch(port uint16, tr *stream.Trace) *portBranch {
	branch, own := t.ports[port]
	if !own {
		branch = t.ports[0]
	}
	if tr.On() {
		noteLevel(tr, "destination port", port, own, branch != nil, len(t.ports) > 1)
	}
	return branch
}

// find returns the branch of a server name: its own, that of the longest suffix, that of chains without names.
func (l nameLevel) find(name string, tr *stream.Trace) transportLevel {
	if _, unasked := l[""]; name == "" || unasked && len(l) == 1 {
		return pick(l, "", "server name", tr)
	}
	if found, ok := l[name]; ok {
		if tr.On() {
			tr.Note(stepChain, "server name: %q, an exact name", name)
		}
		return found
	}
	for dot := nextDot(name, 0); dot > 0 && dot < len(name)-1; dot = nextDot(name, dot) {
		if found, ok := l[name[dot:]]; ok {
			if tr.On() {
				tr.Note(stepChain, "server name: %q is in *%s", name, name[dot:])
			}
			return found
		}
	}
	found := l[""]
	if tr.On() {
		noteLevel(tr, "server name", name, false, found != nil, true)
	}
	return found
}

// nextDot returns the place of the first dot behind after, or -1. The first character is never one: ".com" isn't a
// name in *.com.
func nextDot(name string, after int) int {
	dot := strings.IndexByte(name[after+1:], '.')
	if dot < 0 {
		return -1
	}
	return after + 1 + dot
}

// find returns the branch of the first of the client's protocols that has one, else that of chains without.
func (l protocolLevel) find(protocols []string, tr *stream.Trace) *ranges[typeLevel] {
	found, unasked := l[""]
	for _, p := range protocols {
		if unasked && len(l) == 1 {
			break // nobody asks
		}
		if found, ok := l[p]; ok && p != "" {
			if tr.On() {
				tr.Note(stepChain, "application protocol: %q of %q", p, protocols)
			}
			return found
		}
	}
	if tr.On() {
		noteLevel(tr, "application protocol", protocols, false, found != nil, len(l) > 1)
	}
	return found
}

func fromSource(direct *ranges[typeLevel], f *Facts, tr *stream.Trace) *config.Chain {
	types, prefix := direct.longest(f.DirectSource)
	if notePrefix(tr, "direct source", f.DirectSource, types != nil, prefix, direct.asked()); types == nil {
		return nil
	}
	sources := ofType(types, f, tr)
	if sources == nil {
		return nil
	}
	ports, prefix := sources.longest(f.Source.Addr())
	if notePrefix(tr, "source", f.Source.Addr(), ports != nil, prefix, sources.asked()); ports == nil {
		return nil
	}
	chain, own := (*ports)[f.Source.Port()]
	if own = own && f.Source.Port() != 0; !own {
		chain = (*ports)[0]
	}
	if tr.On() {
		noteLevel(tr, "source port", f.Source.Port(), own, chain != nil, len(*ports) > 1)
	}
	return chain
}

// ofType returns the branch of the source's type, or that of chains that don't ask.
func ofType(types *typeLevel, f *Facts, tr *stream.Trace) *ranges[sourcePortLevel] {
	kind, name := config.ExternalSource, "external"
	if isLocal(f) {
		kind, name = config.SameIPOrLoopback, "same address or loopback"
	}
	own := !types[kind].empty()
	if !own {
		kind = config.AnySource
	}
	if tr.On() {
		asked := !types[config.ExternalSource].empty() || !types[config.SameIPOrLoopback].empty()
		noteLevel(tr, "source type", name, own, !types[kind].empty(), asked)
	}
	if types[kind].empty() {
		return nil
	}
	return &types[kind]
}

// isLocal reports whether the source is this host as Envoy sees it: 127.0.0.1, ::1, or the destination's own address.
func isLocal(f *Facts) bool {
	source := f.Source.Addr()
	return source == loopback4 || source == loopback6 || source == f.Destination.Addr()
}

var loopback4, loopback6 = netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()

// pick returns the branch of key, or that of chains that don't ask.
func pick[M ~map[string]X, X any](level map[string]M, key, what string, tr *stream.Trace) M {
	found, own := level[key]
	own = own && key != ""
	if !own {
		found = level[""]
	}
	if tr.On() {
		noteLevel(tr, what, key, own, found != nil, len(level) > 1)
	}
	return found
}

func notePrefix(tr *stream.Trace, what string, a netip.Addr, found bool, prefix netip.Prefix, asked bool) {
	if !tr.On() {
		return
	}
	if prefix.IsValid() {
		tr.Note(stepChain, "%s: %s is in %s", what, a, prefix)
		return
	}
	noteLevel(tr, what, a, false, found, asked)
}

// noteLevel says what became of a level: chains that ask for just this, chains that don't ask, or none of either. Of a
// level at which no chain asks there is nothing to say.
func noteLevel(tr *stream.Trace, what string, value any, own, found, asked bool) {
	switch {
	case own:
		tr.Note(stepChain, "%s: %v", what, value)
	case found && !asked:
	case found:
		tr.Note(stepChain, "%s: no chain asks for %v, those that don't ask are left", what, value)
	default:
		tr.Note(stepChain, "%s: all chains left ask for one, and none for %v", what, value)
	}
}
