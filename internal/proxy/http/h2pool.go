package http

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/h2"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// h2Pools are the HTTP/2 connections to hosts. Requests share one until all its streams are taken. The zero value is
// empty.
type h2Pools struct {
	mu     sync.Mutex
	pools  map[h2Key]*h2Pool
	closed bool
	work   sync.WaitGroup
}

// h2Key tells apart what connections can't be shared.
type h2Key struct {
	host *upstream.Host
	key  string
}

type h2Pool struct {
	conns   []*h2Upstream
	dialing *h2Dial // nil: nobody dials
}

// h2Dial is somebody's dial, which others wait for.
type h2Dial struct {
	over chan struct{} // closed when it is
	err  error         // why there is no connection; nil also if only its caller gave up
}

// h2Upstream is one connection.
type h2Upstream struct {
	client   *h2.Client
	conn     *upstream.Conn
	opened   time.Time
	requests uint32
}

// stream takes a stream, nil if there is none. The last a connection may have lets it end.
func (u *h2Upstream) stream(x *stream.Exchange, limits *config.UpstreamHTTP, now time.Time) *h2.ClientStream {
	if limits.MaxDuration > 0 && now.Sub(u.opened) >= limits.MaxDuration {
		u.client.Drain()
	}
	s := u.client.Stream(x)
	if s == nil {
		return nil
	}
	if u.requests++; u.requests == limits.MaxRequests {
		u.client.Drain()
	}
	return s
}

// errClosed is for requests that come while the engine ends.
var errClosed = errors.New("the proxy is ending")

// errUnusable is for hosts that end connections as they begin.
var errUnusable = errors.New("the host ends connections of HTTP/2 before they are used")

// stream returns a stream to host on a connection that has one free, or on a new one. Who waits for somebody else's dial
// and gets nothing of it dials too, so each request makes one connection at most.
func (p *h2Pools) stream(ctx context.Context, c *call, host *upstream.Host) (codec.Upstream, *upstream.Conn, error) {
	key := h2Key{host, c.poolKey()}
	for {
		s, conn, others, err := p.try(c, key)
		switch {
		case s != nil || err != nil:
			return s, conn, err
		case others == nil:
			return p.dial(ctx, c, key)
		}
		select {
		case <-others.over:
			if others.err != nil {
				return nil, nil, others.err
			}
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// try takes a stream of a connection there is. Without one it returns somebody else's dial; nil: it is the caller's turn
// to dial.
func (p *h2Pools) try(c *call, key h2Key) (s codec.Upstream, conn *upstream.Conn, others *h2Dial, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, nil, errClosed
	}
	pool := p.pool(key)
	if s, conn := pool.take(c); conn != nil {
		return s, conn, nil, nil
	}
	if pool.dialing != nil {
		return nil, nil, pool.dialing, nil
	}
	pool.dialing = &h2Dial{over: make(chan struct{})}
	return nil, nil, nil, nil
}

// pool is the connections under a key, none if it is new. mu is held.
func (p *h2Pools) pool(key h2Key) *h2Pool {
	pool := p.pools[key]
	if pool == nil {
		pool = &h2Pool{}
		if p.pools == nil {
			p.pools = map[h2Key]*h2Pool{}
		}
		p.pools[key] = pool
	}
	return pool
}

// take takes a stream of one of the connections; without conn none has one free.
func (p *h2Pool) take(c *call) (s codec.Upstream, conn *upstream.Conn) {
	if p == nil {
		return nil, nil
	}
	for _, each := range p.conns {
		if s := each.stream(c.x, &c.x.Cluster.HTTP, c.engine.opts.Now()); s != nil {
			return s, each.conn
		}
	}
	return nil, nil
}

// dial makes one more connection, takes its first stream, and lets those go on who wait for it.
func (p *h2Pools) dial(ctx context.Context, c *call, key h2Key) (codec.Upstream, *upstream.Conn, error) {
	cluster := c.forward.target.cluster
	conn, err := cluster.Dial(ctx, key.host, c.dialOptions())
	p.mu.Lock()
	defer p.mu.Unlock()
	pool := p.pools[key]
	over := pool.dialing
	pool.dialing = nil
	defer close(over.over)
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			over.err = err
		}
		return nil, nil, err
	}
	if p.closed {
		_ = conn.Close()
		return nil, nil, errClosed
	}
	up := p.add(pool, key, conn, c.engine.opts.Now())
	s := up.stream(c.x, &cluster.Config().HTTP, up.opened)
	if s == nil {
		return nil, nil, errUnusable
	}
	return s, conn, nil
}

// add makes a connection one of the pool's.
func (p *h2Pools) add(pool *h2Pool, key h2Key, conn *upstream.Conn, now time.Time) *h2Upstream {
	cluster := key.host.Cluster()
	cluster.Stats.CxHTTP2.Add(1)
	cfg := &cluster.Config().HTTP
	o := h2.FromConfig(cfg.HTTP2)
	o.IdleTimeout, o.MaxHeadBytes, o.MaxHeaders = cfg.IdleTimeout, cfg.MaxHeadBytes, cfg.MaxHeaders
	up := &h2Upstream{client: h2.NewClient(conn.Conn, o), conn: conn, opened: now}
	pool.conns = append(pool.conns, up)
	p.work.Go(func() { p.watch(key, up) })
	return up
}

// watch waits until a connection is over, and forgets it.
func (p *h2Pools) watch(key h2Key, up *h2Upstream) {
	<-up.client.Done()
	_ = up.conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	pool := p.pools[key]
	for i, each := range pool.conns {
		if each == up {
			pool.conns = append(pool.conns[:i], pool.conns[i+1:]...)
			break
		}
	}
	if len(pool.conns) == 0 && pool.dialing == nil {
		delete(p.pools, key)
	}
}

// sweep lets connections go whose host is gone from its cluster.
func (p *h2Pools) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, pool := range p.pools {
		if key.host.Gone() {
			for _, each := range pool.conns {
				each.client.Drain()
			}
		}
		if len(pool.conns) == 0 && pool.dialing == nil {
			delete(p.pools, key)
		}
	}
}

// close ends all connections and waits for them.
func (p *h2Pools) close() {
	p.mu.Lock()
	p.closed = true
	var all []*h2Upstream
	for _, pool := range p.pools {
		all = append(all, pool.conns...)
	}
	p.mu.Unlock()
	for _, each := range all {
		each.client.Close()
	}
	p.work.Wait()
}
