package upstream

import (
	"context"
	"crypto/tls"
	"net/netip"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
)

// TLSError is a handshake that failed. Its text is UPSTREAM_TRANSPORT_FAILURE_REASON.
type TLSError struct{ Err error }

// Error is the reason as Envoy writes it.
func (e *TLSError) Error() string { return tlsctx.Reason(e.Err) }

// Unwrap is what the handshake ended with.
func (e *TLSError) Unwrap() error { return e.Err }

// TransportOf returns how an endpoint is reached: the first of transport_socket_matches that fits its metadata, else the
// cluster's transport socket. nil: plaintext.
func TransportOf(cfg *config.Cluster, endpoint *config.Endpoint) *config.ClientTLS {
	if match := matchOf(cfg, endpoint); match != nil {
		return match.TLS
	}
	return cfg.TLS
}

func matchOf(cfg *config.Cluster, endpoint *config.Endpoint) *config.TransportMatch {
	for i := range cfg.TLSMatches {
		if match := &cfg.TLSMatches[i]; covers(endpoint.TLSMatch, match.Match) {
			return match
		}
	}
	return nil
}

func covers(has, want map[string]string) bool {
	for key, value := range want {
		if got, ok := has[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// handshake makes conn a TLS connection. On failure the caller closes it.
func (c *Cluster) handshake(ctx context.Context, conn *Conn, t *config.ClientTLS, o *DialOptions) error {
	options := tlsctx.ClientOptions{ServerName: o.SNI, ALPN: o.ALPN, Sessions: c.sessionsOf(t)}
	if c.Config().HTTP.AutoSAN {
		options.VerifyName = o.Name
	}
	secured := tls.Client(conn.Conn, tlsctx.Client(t, options))
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Stats.TLS.ConnectionError.Add(1)
		return &TLSError{err}
	}
	state := secured.ConnectionState()
	c.Stats.TLS.Handshake.Add(1)
	if state.DidResume {
		c.Stats.TLS.SessionReused.Add(1)
	}
	conn.Conn, conn.TLS = secured, tlsctx.DescribeClient(state, t)
	return nil
}

// HostNames is what TLS is told of the host that an authority names: the SNI, if the cluster takes it from there (auto_sni),
// which is a name and never an address, and what the host must prove to be.
func HostNames(cfg *config.Cluster, authority string) (sni, name string) {
	name = hostOf(authority)
	if _, err := netip.ParseAddr(name); err != nil && cfg.HTTP.AutoSNI {
		sni = name
	}
	return sni, name
}

// hostOf is an authority without port and brackets.
func hostOf(authority string) string {
	host := authority
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		host = host[:colon]
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// sessionsOf is the cache of TLS sessions of one of the cluster's transport sockets.
func (c *Cluster) sessionsOf(t *config.ClientTLS) *tlsctx.Sessions {
	c.mu.Lock()
	defer c.mu.Unlock()
	sessions, ok := c.sessions[t]
	if !ok {
		if c.sessions == nil {
			c.sessions = map[*config.ClientTLS]*tlsctx.Sessions{}
		}
		sessions = tlsctx.NewSessions(t)
		c.sessions[t] = sessions
	}
	return sessions
}
