package listener

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
)

// visit is a connection between its accept and its engine.
type visit struct {
	*stay
	ctx   context.Context // ends waiting for the client's first bytes and its handshake
	facts Facts
	since time.Time // when its first listener filter began to wait; zero: none has

	// What a PROXY protocol header told.
	peered   netip.AddrPort // the socket's peer; invalid: the header didn't tell another
	tlvs     []stream.TLV
	metadata map[string]map[string]any
}

// handle finds out where the connection was going and what it speaks, chooses its chain and hands it on, or returns to
// have it closed.
func (v *visit) handle(name string) (parked bool) {
	dst, err := v.acceptor.OriginalDst(v.socket)
	if err != nil {
		v.stats.NoOrigin.Add(1)
		return false
	}
	table := v.acceptor.Table()
	from := table.Listener(name)
	if from == nil {
		v.stats.NoFilterChain.Add(1)
		return false
	}
	remote := v.socket.Remote()
	v.facts = Facts{Destination: dst, Source: remote, DirectSource: remote.Addr(), Transport: TransportRaw}
	if v.isProof(name) {
		v.proof()
		return false
	}
	if !v.introduced(from) {
		return false
	}
	l := v.ownerOf(table, from)
	if l != from {
		v.stats = v.acceptor.statsOf(l)
	}
	if l != from && !v.introduced(l) || !v.inspect(l) {
		return false
	}
	v.owner, v.conn = l, v.newConn(l, l.Select(&v.facts, nil))
	if v.conn.Chain == nil {
		v.stats.NoFilterChain.Add(1)
		v.conn.Flags = stream.NoRouteFound
		return false
	}
	return v.serve(l, v.conn)
}

// ownerOf returns the listener that takes the connection from the one that accepted it.
func (v *visit) ownerOf(t *Table, from *Compiled) *Compiled {
	if from.Config.HandOff && v.acceptor.Inbound != nil && v.acceptor.Inbound(v.facts.Destination) {
		if inbound := t.Listener(config.VirtualInbound); inbound != nil {
			return inbound
		}
	}
	return t.HandOff(from, v.facts.Destination, nil)
}

// statsOf returns the counters of a listener that takes connections of another one's socket.
func (a *Acceptor) statsOf(l *Compiled) *telemetry.Listener {
	l.once.Do(func() {
		address := l.Config.Name
		if len(l.Config.Addresses) > 0 {
			address = l.Config.Addresses[0].String()
		}
		l.stats = a.Store.Listener(address)
	})
	return l.stats
}

// serve gives the connection to the engine of its chain, behind TLS if the chain wants it.
func (v *visit) serve(l *Compiled, c *stream.Conn) (parked bool) {
	v.stats.CxTotal.Add(1)
	v.stats.CxActive.Add(1)
	v.counted = true
	down := net.Conn(v.socket)
	if c.Chain.TLS != nil {
		secure, err := v.handshake(c, l.tls[c.Chain])
		if err != nil {
			c.TransportFailure = tlsctx.Reason(err)
			v.countFailure(err)
			return false
		}
		down = secure
	}
	if c.Chain.HTTP != nil {
		return v.acceptor.HTTP(c, down, v.wake)
	}
	v.acceptor.TCP(c, down)
	return false
}

// newConn is what is known now; chain may be nil.
func (v *visit) newConn(l *Compiled, chain *config.Chain) *stream.Conn {
	return &stream.Conn{
		ID: v.acceptor.ids.Add(1), Start: v.start, Remote: v.facts.Source, Local: v.facts.Destination,
		Direction: l.Config.Direction, Listener: l.Config, Chain: chain,
		SNI: v.facts.ServerName, ALPN: v.alpn(),
		Peered: v.peered, TLVs: v.tlvs, Metadata: v.metadata, OriginalSource: l.originalSource(v.facts.Destination.Port()),
	}
}

// alpn is the client's list; what the HTTP inspector found isn't one.
func (v *visit) alpn() []string {
	if v.facts.Transport != TransportTLS {
		return nil
	}
	return v.facts.Protocols
}
