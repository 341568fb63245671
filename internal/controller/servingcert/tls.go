package servingcert

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
)

var errNoLeaf = errors.New("no serving certificate yet: the CA's Secret has not been read")

// GetCertificate is tls.Config's. Under ProbeHost it shows what is served next.
func (c *Controller) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.awake()
	served := c.leaf.Load()
	if shown := c.shown.Load(); shown != nil && hello.ServerName == c.ProbeHost {
		served = shown
	}
	if served == nil {
		return nil, errNoLeaf
	}
	if s, ok := hello.Context().Value(connection{}).(*atomic.Pointer[leaf]); ok {
		s.Store(served)
	}
	return &served.tls, nil
}

// connection is the key of what a connection was shown.
type connection struct{}

// ConnContext is http.Server's: it lets ServedCA know what GetCertificate did for the same connection.
func (c *Controller) ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connection{}, new(atomic.Pointer[leaf]))
}

// ServedCA is the fingerprint of the CA of the leaf that the request's connection was shown; "" if that isn't known.
func (c *Controller) ServedCA(ctx context.Context) string {
	s, ok := ctx.Value(connection{}).(*atomic.Pointer[leaf])
	if !ok || s.Load() == nil {
		return ""
	}
	return string(s.Load().id)
}
