package http

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/http/h1"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// waitStep is how often who waits for a connection tries again, besides when one of its host comes back: the limit is
// the cluster's.
const waitStep = 50 * time.Millisecond

// connectTo returns a stream to host, on a connection that was used before or on a new one.
func (c *call) connectTo(host *upstream.Host) (codec.Upstream, error) {
	cfg := c.x.Cluster
	if c.wantsHTTP2(cfg) {
		return c.connectHTTP2(host)
	}
	key := c.poolKey()
	if cfg.HTTP.Protocol == config.UpstreamAuto {
		if up := c.shared(host, key); up != nil {
			return up, nil
		}
	}
	if !c.forward.replayed {
		if up := c.pooled(host, key); up != nil {
			return c.use(up, true), nil
		}
	}
	conn, err := c.dial(host, key)
	if err != nil {
		return nil, err
	}
	if conn.Codec == nil && c.negotiatedHTTP2(conn.Conn) {
		return c.adopt(host, key, conn.Conn)
	}
	if conn.Codec == nil {
		c.newH1(conn)
	}
	return c.use(conn, conn.Requests > 0), nil
}

// wantsHTTP2 reports whether the cluster speaks HTTP/2.
func (c *call) wantsHTTP2(cfg *config.Cluster) bool {
	switch cfg.HTTP.Protocol {
	case config.UpstreamHTTP2:
		return true
	case config.UpstreamSame:
		return c.x.Protocol == stream.HTTP2
	default:
		return false
	}
}

func (c *call) connectHTTP2(host *upstream.Host) (codec.Upstream, error) {
	ctx, release := c.context(connectTimeout(c.x.Cluster))
	defer release()
	up, conn, err := c.engine.h2.stream(ctx, c, host)
	if err != nil {
		return nil, err
	}
	c.forward.reused = false // HTTP/2 says itself what wasn't processed
	c.known(conn, stream.HTTP2)
	return up, nil
}

func (c *call) dialOptions() upstream.DialOptions {
	o := upstream.DialOptions{Client: c.conn.Remote, Source: c.conn.OriginalSource, For: c.conn, Priority: c.forward.priority, ALPN: c.x.UpstreamALPN}
	if c.namesHost() {
		sni, name := c.hostNames()
		o.SNI, o.Name = strings.Clone(sni), strings.Clone(name) // the connection outlives the request
	}
	return o
}

// poolKey tells connections apart that were made differently.
func (c *call) poolKey() string {
	key := ""
	if c.x.UpstreamALPN != nil {
		key = strings.Join(c.x.UpstreamALPN, ",")
	}
	if c.x.Cluster.KeepClient {
		key += "@" + c.conn.Remote.Addr().String()
	}
	if s := c.conn.OriginalSource; s != nil {
		from := c.conn.Remote
		if !s.Port {
			from = netip.AddrPortFrom(from.Addr(), 0)
		}
		key += fmt.Sprintf("~%s %d", from, s.Mark)
	}
	if h := c.introduces(); h != nil {
		header, _ := upstream.HeaderBytes(h, c.conn) // the dial fails where this does
		key += "!" + string(header)
	}
	if c.namesHost() {
		_, name := c.hostNames()
		key += "=" + name
	}
	return key
}

// introduces is the header that tells the host of the call for whom its connection is, nil: there is none.
func (c *call) introduces() *config.ProxyHeader {
	if !c.x.Cluster.Introduces || c.forward.host == nil {
		return nil
	}
	return upstream.HeaderOf(c.x.Cluster, c.forward.host.Endpoint())
}

// pooled takes an idle connection out of the host's pool.
func (c *call) pooled(host *upstream.Host, key string) *upstream.H1Conn {
	return host.H1.Get(c.conn.ID, key, c.x.Start)
}

// dial makes a connection, or waits for one if there are as many as there may be.
func (c *call) dial(host *upstream.Host, key string) (*upstream.H1Conn, error) {
	conn, err := c.dialFirst(host, key)
	cluster := c.forward.target.cluster
	if !errors.Is(err, upstream.ErrOverflow) || !cluster.TryPending(c.forward.priority) {
		return conn, err
	}
	defer cluster.DonePending(c.forward.priority)
	ctx, release := c.context(connectTimeout(c.x.Cluster))
	defer release()
	for ctx.Err() == nil {
		turn := host.H1.Queue()
		if conn = c.pooled(host, key); conn == nil {
			conn, err = c.dialOnce(ctx, host, key)
		}
		if conn == nil && errors.Is(err, upstream.ErrOverflow) {
			await(ctx, turn)
		}
		host.H1.Leave(turn)
		if conn != nil {
			return conn, nil
		}
		if !errors.Is(err, upstream.ErrOverflow) {
			return nil, err
		}
	}
	return nil, upstream.ErrOverflow
}

func await(ctx context.Context, turn <-chan struct{}) {
	timer := time.NewTimer(waitStep)
	defer timer.Stop()
	select {
	case <-turn:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func connectTimeout(cfg *config.Cluster) time.Duration {
	if cfg.ConnectTimeout > 0 {
		return cfg.ConnectTimeout
	}
	return 5 * time.Second
}

func (c *call) dialFirst(host *upstream.Host, key string) (*upstream.H1Conn, error) {
	ctx, release := c.context(connectTimeout(c.x.Cluster) + time.Second) // Dial keeps the timeout itself
	defer release()
	return c.dialOnce(ctx, host, key)
}

func (c *call) dialOnce(ctx context.Context, host *upstream.Host, key string) (*upstream.H1Conn, error) {
	options := c.dialOptions()
	if options.ALPN == nil && c.x.Cluster.HTTP.Protocol == config.UpstreamAuto {
		options.ALPN = autoALPN(c.x.Cluster, host)
	}
	conn, err := c.forward.target.cluster.Dial(ctx, host, options)
	if err != nil {
		return nil, err
	}
	if !c.negotiatedHTTP2(conn) {
		c.forward.target.cluster.Stats.CxHTTP1.Add(1)
	}
	return upstream.NewH1Conn(conn, key), nil
}

// h1Upstream is an HTTP/1.1 connection to a host, in its pool or in use.
type h1Upstream struct {
	*h1.Client
	conn   *upstream.H1Conn
	host   *upstream.Host
	engine *Engine
	shard  uint64
	opened time.Time
}

func (c *call) newH1(conn *upstream.H1Conn) {
	cfg := &c.x.Cluster.HTTP
	u := &h1Upstream{
		Client: h1.NewClient(conn.Conn.Conn, h1.Limits{Bytes: int(cfg.MaxHeadBytes), Fields: int(cfg.MaxHeaders)}),
		conn:   conn, host: c.forward.host, engine: c.engine, opened: c.engine.opts.Now(),
	}
	u.Release, u.PreserveCase = u.release, cfg.PreserveCase
	conn.Codec = u
}

// use starts this call on a connection.
func (c *call) use(conn *upstream.H1Conn, reused bool) codec.Upstream {
	u := conn.Codec.(*h1Upstream) //nolint:errcheck // newH1 put it there
	u.shard = c.conn.ID
	conn.Requests++
	c.forward.reused = reused
	c.known(conn.Conn, stream.HTTP11)
	u.Begin(c.x)
	return u
}

// known notes which connection the request goes out on.
func (c *call) known(conn *upstream.Conn, p stream.Protocol) {
	up := &c.x.Upstream
	up.Local, up.TLS, up.Protocol = conn.Local, conn.TLS, p
	if conn.Remote.IsValid() {
		up.Remote = conn.Remote
	}
}

// release gives the connection back to the pool, or closes it.
func (u *h1Upstream) release(_ *h1.Client, reusable bool) {
	pool := &u.host.H1
	if !reusable && !u.Answered() && u.conn.Requests > 1 {
		pool.Died(u.conn, u.engine.opts.Now())
	}
	cfg := &u.host.Cluster().Config().HTTP
	now := u.engine.opts.Now()
	if most := cfg.MaxRequests; most > 0 && u.conn.Requests >= most {
		reusable = false
	}
	if cfg.MaxDuration > 0 && now.Sub(u.opened) >= cfg.MaxDuration {
		reusable = false
	}
	if !reusable {
		pool.Drop(u.conn)
		return
	}
	u.conn.KeepAlive = u.KeepAlive()
	pool.Put(u.shard, u.conn, now)
}
