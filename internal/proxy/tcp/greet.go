package tcp

import (
	"errors"
	"io"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/tcp/mx"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// exchangeTimeout is how long a peer's metadata may take from its first byte. Before that nothing is due: a client whose
// server speaks first sends it only with its first payload.
const exchangeTimeout = 10 * time.Second

// errExchange ends a pair whose peer should have sent metadata and sent something else.
type errExchange struct{ err error }

func (e *errExchange) Error() string { return "metadata exchange: " + e.err.Error() }
func (e *errExchange) Unwrap() error { return e.err }

// exchange tells both peers that negotiated it who we are, and has their answers read before their payload. It fails if
// a connection does. to is nil for a tunnel: what is behind it is nobody's peer.
func (s *session) exchange(down, up *side, to *upstream.Conn) error {
	if wants(s.conn.TLS, s.plan.exchange) {
		if err := s.announce(down); err != nil {
			return &errReset{down, err}
		}
		down.greet = s.greeting(down, s.setPeer)
		s.await()
	}
	if to != nil && wants(to.TLS, upstreamExchange(s.cluster.Config())) {
		if err := s.announce(up); err != nil {
			return &errReset{up, err}
		}
		up.greet = s.greeting(up, s.setUpstreamPeer)
		s.await()
	}
	return nil
}

// await counts a peer whose metadata is to come.
func (s *session) await() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaited++
}

func wants(t *stream.TLS, protocol string) bool {
	return protocol != "" && t != nil && t.ALPN == protocol
}

// upstreamExchange is the protocol of a cluster's metadata exchange filter, or "".
func upstreamExchange(c *config.Cluster) string {
	for i := range c.Filters {
		if f, ok := c.Filters[i].Config.(*config.TCPMetadataExchange); ok {
			return f.Protocol
		}
	}
	return ""
}

func (s *session) announce(to *side) error {
	_, err := to.conn.Write(mx.Frame(&s.proxy.Self))
	return err
}

// greeting reads the metadata of the peer at from and hands it to found.
func (s *session) greeting(from *side, found func(*stream.Peer)) func() error {
	return func() error {
		peer, err := mx.Read(&patient{conn: from.conn, socket: from.socket, limit: exchangeTimeout})
		_ = from.socket.SetReadDeadline(time.Time{})
		switch {
		case err == nil:
			found(peer)
			return nil
		case isEnd(err):
			return nil // it leaves without a word; the flow will see its end too
		case errors.Is(err, mx.ErrMagic), errors.Is(err, mx.ErrTooLong), errors.Is(err, mx.ErrMalformed), upstream.Timeout(err):
			s.plan.prefix.MetadataExchangeError.Add(1)
			return &errExchange{err}
		}
		return &errReset{from, err}
	}
}

// patient waits for the first byte as long as it takes, and limit for all that follow.
type patient struct {
	conn   io.Reader
	socket bare
	limit  time.Duration
	begun  bool
}

func (p *patient) Read(b []byte) (int, error) {
	if p.begun {
		return p.conn.Read(b)
	}
	n, err := p.conn.Read(b[:1])
	if n > 0 {
		p.begun = true
		_ = p.socket.SetReadDeadline(time.Now().Add(p.limit))
	}
	return n, err
}
