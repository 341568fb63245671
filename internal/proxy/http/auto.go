package http

// Clusters with auto_config: each connection speaks what its TLS handshake has agreed upon, and HTTP/1.1 without TLS.
// Requests that come before the first connection is there make one each, since none knows whether it can be shared.
import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// autoALPN is what is offered to a host; nil: what its transport socket says, or nothing.
func autoALPN(cfg *config.Cluster, host *upstream.Host) []string {
	if t := upstream.TransportOf(cfg, host.Endpoint()); t == nil || len(t.ALPN) > 0 {
		return nil
	}
	return []string{"h2", "http/1.1"}
}

// negotiatedHTTP2 reports whether a connection of such a cluster speaks HTTP/2.
func (c *call) negotiatedHTTP2(conn *upstream.Conn) bool {
	return c.x.Cluster.HTTP.Protocol == config.UpstreamAuto && conn.TLS != nil && (conn.TLS.ALPN == "h2" || conn.TLS.ALPN == "istio-h2")
}

// shared takes a stream of a connection of HTTP/2 there is; nil: there is none, or none has one free.
func (c *call) shared(host *upstream.Host, key string) codec.Upstream {
	up, conn := c.engine.h2.shared(c, h2Key{host, key})
	if conn == nil {
		return nil
	}
	c.forward.reused = false
	c.known(conn, stream.HTTP2)
	return up
}

// adopt makes conn a connection requests share, and takes its first stream.
func (c *call) adopt(host *upstream.Host, key string, conn *upstream.Conn) (codec.Upstream, error) {
	up, err := c.engine.h2.adopt(c, h2Key{host, key}, conn)
	if err != nil {
		return nil, err
	}
	c.forward.reused = false
	c.known(conn, stream.HTTP2)
	return up, nil
}

// shared takes a stream of a connection there is.
func (p *h2Pools) shared(c *call, key h2Key) (codec.Upstream, *upstream.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pools[key].take(c)
}

// adopt adds a connection somebody has made, and takes its first stream.
func (p *h2Pools) adopt(c *call, key h2Key, conn *upstream.Conn) (codec.Upstream, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = conn.Close()
		return nil, errClosed
	}
	up := p.add(p.pool(key), key, conn, c.engine.opts.Now())
	s := up.stream(c.x, &c.x.Cluster.HTTP, up.opened)
	if s == nil {
		return nil, errUnusable
	}
	return s, nil
}
