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
	dialing chan struct{} // closed when it is over; nil: nobody dials
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

// stream returns a stream to host on a connection that has one free, or on a new one.
func (p *h2Pools) stream(ctx context.Context, c *call, host *upstream.Host) (codec.Upstream, *upstream.Conn, error) {
	key := h2Key{host, c.poolKey()}
	for {
		s, conn, wait, err := p.try(c, key)
		if s != nil || err != nil {
			return s, conn, err
		}
		if wait == nil {
			if err := p.dial(ctx, c, key); err != nil {
				return nil, nil, err
			}
			continue
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// try takes a stream of a connection there is. Without one, wait is closed when somebody else's dial is over; nil: it is
// the caller's turn to dial.
func (p *h2Pools) try(c *call, key h2Key) (s codec.Upstream, conn *upstream.Conn, wait chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, nil, errClosed
	}
	pool := p.pools[key]
	if pool == nil {
		pool = &h2Pool{}
		if p.pools == nil {
			p.pools = map[h2Key]*h2Pool{}
		}
		p.pools[key] = pool
	}
	for _, each := range pool.conns {
		if s := each.stream(c.x, &c.x.Cluster.HTTP, c.engine.opts.Now()); s != nil {
			return s, each.conn, nil, nil
		}
	}
	if pool.dialing != nil {
		return nil, nil, pool.dialing, nil
	}
	pool.dialing = make(chan struct{})
	return nil, nil, nil, nil
}

// dial makes one more connection and lets those go on who wait for it.
func (p *h2Pools) dial(ctx context.Context, c *call, key h2Key) error {
	cluster := c.forward.target.cluster
	conn, err := cluster.Dial(ctx, key.host, c.dialOptions())
	p.mu.Lock()
	defer p.mu.Unlock()
	pool := p.pools[key]
	close(pool.dialing)
	pool.dialing = nil
	if err != nil {
		return err
	}
	if p.closed {
		_ = conn.Close()
		return errClosed
	}
	cluster.Stats.CxHTTP2.Add(1)
	cfg := &cluster.Config().HTTP
	o := h2.FromConfig(cfg.HTTP2)
	o.IdleTimeout, o.MaxHeadBytes, o.MaxHeaders = cfg.IdleTimeout, cfg.MaxHeadBytes, cfg.MaxHeaders
	up := &h2Upstream{client: h2.NewClient(conn.Conn, o), conn: conn, opened: c.engine.opts.Now()}
	pool.conns = append(pool.conns, up)
	p.work.Go(func() { p.watch(key, up) })
	return nil
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
