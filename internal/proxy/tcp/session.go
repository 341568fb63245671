package tcp

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// session is one connection's state: its counters, what its log line will say.
type session struct {
	proxy   *Proxy
	conn    *stream.Conn
	down    net.Conn
	cluster *config.Cluster // nil: there is none of that name
	name    string          // of the cluster

	host   *telemetry.Cluster
	prefix *telemetry.TCPPrefix
	series *telemetry.Series

	mu          sync.Mutex
	pair        *pair // nil until connected
	upLocal     netip.AddrPort
	upRemote    netip.AddrPort
	flags       stream.Flags
	termination string
	reportedIn  uint64 // bytes from downstream already in the counters
	reportedOut uint64

	// Of the idle sweep alone.
	lastMoved uint64
	lastSeen  time.Time
	nextLook  time.Time
}

func newSession(p *Proxy, c *stream.Conn, down net.Conn) *session {
	s := &session{proxy: p, conn: c, down: down, lastSeen: c.Start, name: c.Chain.TCP.Clusters[0].Name}
	s.cluster = p.Cluster(s.name)
	s.host = p.Store.Cluster(s.name)
	s.prefix = p.Store.TCPPrefix(c.Chain.TCP.StatPrefix)
	s.prefix.CxTotal.Add(1)
	return s
}

// failed records that no upstream connection came to be.
func (s *session) failed(err error) {
	switch {
	case errors.Is(err, upstream.ErrNoHost):
		s.host.CxNoneHealthy.Add(1)
	case errors.Is(err, upstream.ErrSelfDial):
		s.proxy.Store.Server.SelfDials.Add(1)
	default:
		s.host.CxTotal.Add(1)
		s.host.CxDestroy.Add(1)
		s.host.CxConnectFail.Add(1)
		if isTimeout(err) {
			s.host.CxConnectLimit.Add(1)
		}
	}
	s.setEnd("", dialFlags(err))
	if dialFlags(err) == stream.UpstreamConnectionFailure {
		s.mu.Lock()
		s.upRemote = s.conn.Local
		s.mu.Unlock()
	}
	s.openSeries(dialFlags(err))
}

func (s *session) connected(up *net.TCPConn) {
	s.host.CxTotal.Add(1)
	s.host.CxActive.Add(1)
	s.openSeries(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upLocal, s.upRemote = addrPort(up.LocalAddr()), addrPort(up.RemoteAddr())
}

func (s *session) openSeries(flags stream.Flags) {
	s.series = s.proxy.Store.Series(s.conn.Direction.Reporter(), s.name, flags)
	s.series.Opened.Add(1)
}

// relay moves bytes until the connection ends. If the Proxy was closed meanwhile, it ends at once.
func (s *session) relay(up *net.TCPConn) {
	defer s.host.CxDestroy.Add(1)
	defer s.host.CxActive.Add(-1)
	p, err := newPair(s.down.(*net.TCPConn), up, &s.proxy.Store.Server.SplicedBytes, s.proxy.pipes)
	if err != nil {
		s.setEnd("", stream.LocalReset)
		return
	}
	s.mu.Lock()
	s.pair = p
	shut := s.termination != ""
	s.mu.Unlock()
	if shut {
		p.end(errShut)
	}
	s.resetFlags(p.run(s.proxy.Guard))
}

var errShut = errors.New("closed by the sidecar")

// shut ends a connection from outside its goroutines.
func (s *session) shut(why string, flags stream.Flags) {
	s.setEnd(why, flags)
	s.mu.Lock()
	p := s.pair
	s.mu.Unlock()
	if p != nil {
		p.end(errShut)
	}
}

func (s *session) setEnd(why string, flags stream.Flags) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.termination == "" {
		s.termination = why
		s.flags |= flags
	}
}

// resetFlags says which side reset the connection.
func (s *session) resetFlags(cause error) {
	var reset *errReset
	switch {
	case cause == nil, errors.Is(cause, errShut):
	case errors.As(cause, &reset) && reset.conn == s.down:
		s.setEnd("", stream.DownstreamReset)
	case errors.As(cause, &reset):
		s.setEnd("", stream.UpstreamReset)
	default:
		s.setEnd("", stream.LocalReset)
	}
}

// bytes are what came from and went to the downstream so far.
func (s *session) bytes() (in, out uint64) {
	s.mu.Lock()
	p := s.pair
	s.mu.Unlock()
	if p == nil {
		return 0, 0
	}
	return p.request.moved.Load(), p.reply.moved.Load()
}

// report adds what was moved since the last report to the shared counters.
func (s *session) report() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pair == nil {
		return
	}
	in, out := s.pair.request.moved.Load(), s.pair.reply.moved.Load()
	newIn, newOut := in-s.reportedIn, out-s.reportedOut
	s.reportedIn, s.reportedOut = in, out
	s.prefix.RxBytes.Add(newIn)
	s.prefix.TxBytes.Add(newOut)
	s.host.TxBytes.Add(newIn)
	s.host.RxBytes.Add(newOut)
	s.series.Received.Add(newIn)
	s.series.Sent.Add(newOut)
}

// ended counts the close under the flags the connection ended with.
func (s *session) ended() {
	s.mu.Lock()
	flags := s.flags
	s.mu.Unlock()
	s.proxy.Store.Series(s.conn.Direction.Reporter(), s.name, flags).Closed.Add(1)
}

func (s *session) entry() *telemetry.Entry {
	in, out := s.bytes()
	s.mu.Lock()
	defer s.mu.Unlock()
	return &telemetry.Entry{
		Start: s.conn.Start, Duration: s.proxy.Now().Sub(s.conn.Start),
		Flags: s.flags, Termination: s.termination,
		Received: in, Sent: out,
		UpstreamCluster: s.name, UpstreamHost: s.upRemote, UpstreamLocal: s.upLocal,
		DownstreamLocal: s.conn.Local, DownstreamRemote: s.conn.Remote,
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
