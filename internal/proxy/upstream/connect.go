package upstream

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// ErrOverflow is what Dial answers when the circuit breaker of connections is open.
var ErrOverflow = errors.New("the cluster has as many connections as it may")

const defaultConnectTimeout = 5 * time.Second

// DialOptions are what a connection is for.
type DialOptions struct {
	Client   netip.AddrPort         // the downstream's, for clusters that keep its address
	Source   *config.OriginalSource // of the downstream's listener: Client is where to dial from
	For      *stream.Conn           // whom hosts are told it is for, in the PROXY protocol; nil: for the proxy itself
	Priority Priority
	ALPN     []string // instead of the transport socket's
	SNI      string   // instead of the transport socket's
	Name     string   // what the host must prove to be, if the cluster has auto_san_validation: a host name or an address
	// Final says that connecting is all there is, no request's outcome will follow: outlier detection takes it as one, and the
	// connection counts as a request under way. TCP proxies set it.
	Final bool
}

// Conn is a connection to a host. Close it and not what it embeds: it is counted until then.
type Conn struct {
	net.Conn                     // a *socket.Conn or *net.UnixConn when plaintext
	TLS           *stream.TLS    // nil: plaintext
	Local, Remote netip.AddrPort // Remote is invalid for a Unix socket
	Host          *Host

	priority Priority
	opened   time.Time
	final    bool
	closed   atomic.Bool
}

// Close closes the connection and gives its place in the circuit breaker back. Further calls do nothing.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	cluster := c.Host.cluster
	cluster.Stats.CxLengthMs.Record(milliseconds(cluster.manager.opts.Now().Sub(c.opened)))
	c.Host.Stats.CxActive.Add(-1)
	if c.final {
		c.Host.Active.Add(-1)
	}
	cluster.Stats.CxActive.Add(-1)
	cluster.Stats.CxDestroy.Add(1)
	cluster.DoneConnect(c.priority)
	return c.Conn.Close()
}

// Dial connects to host, with TLS if that is how the cluster reaches it, within the cluster's connect timeout. It counts
// and tells outlier detection how it went; the caller does neither. Errors are ErrOverflow (UO), ErrSelfDial (NC), a
// *TLSError or what the network said (UF).
func (c *Cluster) Dial(ctx context.Context, host *Host, o DialOptions) (*Conn, error) {
	if !c.TryConnect(o.Priority) {
		return nil, ErrOverflow
	}
	started := c.manager.opts.Now()
	conn, err := c.connect(ctx, host, &o)
	if err != nil {
		c.DoneConnect(o.Priority)
		c.failed(ctx, host, err)
		return nil, err
	}
	c.Stats.CxTotal.Add(1)
	c.Stats.CxActive.Add(1)
	host.Stats.CxTotal.Add(1)
	host.Stats.CxActive.Add(1)
	conn.priority, conn.opened = o.Priority, c.manager.opts.Now()
	c.Stats.CxConnectMs.Record(milliseconds(conn.opened.Sub(started)))
	if conn.final = o.Final; o.Final {
		host.Active.Add(1)
		host.Stats.RqTotal.Add(1)
		host.Result(ConnectedFinal)
	} else {
		host.Result(Connected)
	}
	return conn, nil
}

// failed counts a dial that failed; one that its caller gave up says nothing of the host.
func (c *Cluster) failed(ctx context.Context, host *Host, err error) {
	if errors.Is(err, ErrSelfDial) || errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	c.Stats.CxTotal.Add(1)
	c.Stats.CxConnectFail.Add(1)
	host.Stats.CxTotal.Add(1)
	host.Stats.CxConnectFail.Add(1)
	if Timeout(err) {
		c.Stats.CxConnectLimit.Add(1)
		host.Result(ConnectTimeout)
		return
	}
	host.Result(ConnectFailed)
}

func milliseconds(d time.Duration) uint64 { return uint64(max(d, 0) / time.Millisecond) }

// Timeout reports whether a dial ended because the connect timeout was over.
func Timeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func (c *Cluster) connect(ctx context.Context, host *Host, o *DialOptions) (*Conn, error) {
	cfg, endpoint := c.Config(), host.Endpoint()
	started := time.Now()
	raw, err := c.manager.dialer.dialEndpoint(ctx, cfg, host, endpoint, origin{o.Client, o.Source})
	if err != nil {
		return nil, err
	}
	conn := newConn(raw, host)
	if err := c.begin(ctx, conn, endpoint, started, o); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// begin says what comes before the payload: a header of the PROXY protocol, and TLS's handshake.
func (c *Cluster) begin(ctx context.Context, conn *Conn, endpoint *config.Endpoint, started time.Time, o *DialOptions) error {
	cfg := c.Config()
	header, secure := HeaderOf(cfg, endpoint), TransportOf(cfg, endpoint)
	if header == nil && secure == nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, started.Add(connectTimeout(cfg)))
	defer cancel()
	if header != nil {
		if err := Introduce(ctx, conn, header, o.For); err != nil {
			return err
		}
	}
	if secure == nil {
		return nil
	}
	return c.handshake(ctx, conn, secure, o)
}

func newConn(raw net.Conn, host *Host) *Conn {
	conn := &Conn{Conn: raw, Host: host}
	if tcp, ok := raw.(*socket.Conn); ok {
		conn.Local, conn.Remote = tcp.Local(), tcp.Remote()
	}
	return conn
}

// connectTimeout is how long a connection may take, its handshake included.
func connectTimeout(c *config.Cluster) time.Duration {
	return cmp.Or(c.ConnectTimeout, defaultConnectTimeout)
}
