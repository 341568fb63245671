package listener

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
)

// handshakeTimeout is how long a TLS handshake may take where the chain doesn't say.
const handshakeTimeout = 15 * time.Second

// visit is a connection between its accept and its engine.
type visit struct {
	acceptor *Acceptor
	ctx      context.Context // ends waiting for the client's first bytes and its handshake
	socket   *net.TCPConn
	start    time.Time
	stats    *telemetry.Listener // of the socket it came in by
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
	l := table.HandOff(from, dst, nil)
	if !v.inspect(l) {
		return
	}
	chain := l.Select(&v.facts, nil)
	if chain == nil {
		v.stats.NoFilterChain.Add(1)
		return
	}
	v.serve(l, chain)
}

// serve gives the connection to the engine of its chain, behind TLS if the chain wants it.
func (v *visit) serve(l *Compiled, chain *config.Chain) {
	c := v.conn(l, chain)
	down := net.Conn(v.socket)
	if chain.TLS != nil {
		secure, err := v.handshake(c, l.tls[chain])
		if err != nil {
			v.stats.TLS.ConnectionError.Add(1)
			return
		}
		down = secure
	}
	if chain.HTTP != nil {
		v.acceptor.HTTP(c, down)
		return
	}
	v.acceptor.TCP(c, down)
}

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

func (v *visit) handshake(c *stream.Conn, with *tls.Config) (*tls.Conn, error) {
	timeout := c.Chain.HandshakeTimeout
	if timeout == 0 {
		timeout = handshakeTimeout
	}
	_ = v.socket.SetDeadline(time.Now().Add(timeout))
	secure := tls.Server(v.socket, with)
	if err := secure.Handshake(); err != nil { //nolint:noctx // the deadline bounds it, without a goroutine
		c.TransportFailure = tlsctx.Reason(err)
		return nil, err
	}
	_ = v.socket.SetDeadline(time.Time{})
	v.stats.TLS.Handshake.Add(1)
	c.TLS = tlsctx.DescribeServer(secure.ConnectionState(), c.Chain.TLS)
	if c.SNI == "" {
		c.SNI = c.TLS.ServerName
	}
	return secure, nil
}
