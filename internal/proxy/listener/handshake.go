package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
)

// handshakeTimeout is how long a TLS handshake may take where the chain doesn't say.
const handshakeTimeout = 15 * time.Second

// handshake puts the connection behind TLS and says in c what it established. The time limit is the socket's deadline:
// that costs no goroutine.
func (v *visit) handshake(c *stream.Conn, with *tls.Config) (*tls.Conn, error) {
	timeout := c.Chain.HandshakeTimeout
	if timeout == 0 {
		timeout = handshakeTimeout
	}
	_ = v.socket.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(v.ctx, func() { _ = v.socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	secure := tls.Server(v.socket, with)
	if err := secure.Handshake(); err != nil { //nolint:noctx // see above
		return nil, err
	}
	_ = v.socket.SetDeadline(time.Time{})
	state := secure.ConnectionState()
	v.stats.TLS.Handshake.Add(1)
	if state.DidResume {
		v.stats.TLS.SessionReused.Add(1)
	}
	c.TLS = tlsctx.DescribeServer(state, c.Chain.TLS)
	if c.TLS.PeerCert == nil {
		v.stats.TLS.NoCertificate.Add(1)
	}
	if c.SNI == "" {
		c.SNI = c.TLS.ServerName
	}
	return secure, nil
}

// countFailure counts a handshake that failed, by its reason.
func (v *visit) countFailure(err error) {
	stats := &v.stats.TLS
	var verify *tlsctx.VerifyError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		v.stats.HandshakeTimeout.Add(1)
		return
	case !errors.As(err, &verify):
	case verify.Kind == tlsctx.NoPeerCertificate:
		stats.FailVerifyNoCert.Add(1)
	case verify.Kind == tlsctx.BadSAN:
		stats.FailVerifySAN.Add(1)
	case verify.Kind == tlsctx.BadHash:
		stats.FailCertHash.Add(1)
	default:
		stats.FailVerifyError.Add(1)
	}
	stats.ConnectionError.Add(1)
}
