package tcp

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// Tunnel is a connection through an HTTP proxy. One goroutine may read while another writes; Interrupt comes from any
// and ends both; Close must come last, when nobody does either any more. Closed before both ends it is reset.
type Tunnel interface {
	io.ReadWriteCloser
	CloseWrite() error
	Interrupt()
}

// link is a session's way to its host: a connection, or a tunnel.
type link struct {
	conn   *upstream.Conn // nil: tunnel
	tunnel Tunnel
}

// Close gives the connection up, or closes the tunnel.
func (l *link) Close() error {
	if l.tunnel != nil {
		return l.tunnel.Close()
	}
	return l.conn.Close()
}

func (l *link) side() (*side, error) {
	if l.tunnel != nil {
		return tunnelSide(l.tunnel), nil
	}
	return newSide(l.conn.Conn, l.conn)
}

// reach opens a link to host.
func (s *session) reach(host *upstream.Host) (*link, error) {
	if s.plan.tunnel != nil {
		return s.reachThrough(host)
	}
	conn, err := s.cluster.Dial(s.proxy.ctx, host, upstream.DialOptions{Client: s.conn.Remote, Source: s.conn.OriginalSource, For: s.conn, Final: true})
	if err != nil {
		return nil, err
	}
	s.connected(host, stream.Upstream{Remote: conn.Remote, Local: conn.Local, TLS: conn.TLS})
	return &link{conn: conn}, nil
}

var errNoTunnels = errors.New("there are no tunnels")

func (s *session) reachThrough(host *upstream.Host) (*link, error) {
	if s.proxy.Tunnel == nil {
		return nil, errNoTunnels
	}
	s.mu.Lock()
	ask := s.x
	s.mu.Unlock()
	s.plan.tunnel.request(&ask)
	ctx, cancel := context.WithCancel(s.proxy.ctx)
	defer cancel()
	tunnel, err := s.proxy.Tunnel(ctx, s.cluster, host, &ask)
	if err != nil {
		return nil, err
	}
	s.connected(host, ask.Upstream)
	return &link{tunnel: tunnel}, nil
}

// tunnelPlan is what requests for tunnels have in common.
type tunnelPlan struct {
	*config.Tunneling
	host    *format.Format
	headers *route.Ops
}

// newTunnelPlan takes a format that doesn't compile as it stands: decoders refuse it before.
func newTunnelPlan(t *config.Tunneling) *tunnelPlan {
	p := &tunnelPlan{Tunneling: t, headers: route.CompileOps(&t.Headers)}
	if compiled, err := format.New(t.Host); err == nil {
		p.host = compiled
	}
	return p
}

// request makes x's request the one for a tunnel. x is a copy: the connection's own exchange has no request.
func (p *tunnelPlan) request(x *stream.Exchange) {
	x.Request = stream.Request{Method: http.MethodConnect, Authority: p.Host.Source}
	if p.host != nil {
		x.Request.Authority = string(p.host.Append(nil, x))
	}
	if p.Post {
		x.Request.Method, x.Request.Scheme, x.Request.Path = http.MethodPost, "http", p.Path
		x.Request.HasBody, x.Request.Length = true, -1
	}
	p.headers.ApplyRequest(x)
}
