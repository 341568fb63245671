package listener

import (
	"context"
	"net"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
)

// visit is a connection between its accept and its engine.
type visit struct {
	acceptor *Acceptor
	ctx      context.Context // ends waiting for the client's first bytes and its handshake
	socket   *net.TCPConn
	start    time.Time
	stats    *telemetry.Listener // of the listener that has the connection now
	facts    Facts
}

// handle finds out where the connection was going and what it speaks, chooses its chain and hands it on, or returns to
// have it closed.
func (v *visit) handle(name string) {
	dst, err := v.acceptor.OriginalDst(v.socket)
	if err != nil {
		v.stats.NoOrigin.Add(1)
		return
	}
	table := v.acceptor.Table()
	from := table.Listener(name)
	if from == nil {
		v.stats.NoFilterChain.Add(1)
		return
	}
	remote := unmapped(v.socket.RemoteAddr())
	v.facts = Facts{Destination: dst, Source: remote, DirectSource: remote.Addr(), Transport: TransportRaw}
	if v.isProof(name) {
		v.proof()
		return
	}
	l := v.owner(table, from)
	if l != from {
		v.stats = v.acceptor.statsOf(l)
	}
	if !v.inspect(l) {
		return
	}
	c := v.conn(l, l.Select(&v.facts, nil))
	defer v.log(l, c)
	if c.Chain == nil {
		v.stats.NoFilterChain.Add(1)
		c.Flags = stream.NoRouteFound
		return
	}
	v.serve(l, c)
}

// owner returns the listener that takes the connection from the one that accepted it.
func (v *visit) owner(t *Table, from *Compiled) *Compiled {
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
func (v *visit) serve(l *Compiled, c *stream.Conn) {
	v.stats.CxTotal.Add(1)
	v.stats.CxActive.Add(1)
	defer v.left()
	down := net.Conn(v.socket)
	if c.Chain.TLS != nil {
		secure, err := v.handshake(c, l.tls[c.Chain])
		if err != nil {
			c.TransportFailure = tlsctx.Reason(err)
			v.countFailure(err)
			return
		}
		down = secure
	}
	if c.Chain.HTTP != nil {
		v.acceptor.HTTP(c, down)
		return
	}
	v.acceptor.TCP(c, down)
}

func (v *visit) left() {
	v.stats.CxActive.Add(-1)
	v.stats.CxDestroy.Add(1)
	v.stats.CxLengthMs.Record(uint64(max(v.acceptor.Now().Sub(v.start), 0) / time.Millisecond))
}

// conn is what is known now; chain may be nil.
func (v *visit) conn(l *Compiled, chain *config.Chain) *stream.Conn {
	return &stream.Conn{
		ID: v.acceptor.ids.Add(1), Start: v.start, Remote: v.facts.Source, Local: v.facts.Destination,
		Direction: l.Config.Direction, Listener: l.Config, Chain: chain,
		SNI: v.facts.ServerName, ALPN: v.alpn(),
	}
}

// alpn is the client's list; what the HTTP inspector found isn't one.
func (v *visit) alpn() []string {
	if v.facts.Transport != TransportTLS {
		return nil
	}
	return v.facts.Protocols
}

// log writes the lines of the listener's own logs once the connection has ended.
func (v *visit) log(l *Compiled, c *stream.Conn) {
	if v.acceptor.Logs == nil || len(l.Config.AccessLogs) == 0 {
		return
	}
	l.logsOnce.Do(func() { l.logs = v.acceptor.Logs.For(l.Config.AccessLogs) })
	var x stream.Exchange
	x.Reset(c, c.Start)
	x.Received, x.Sent, x.End = c.Received, c.Sent, v.acceptor.Now().Sub(c.Start)
	l.logs.Log(&x)
}
