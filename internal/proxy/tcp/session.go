package tcp

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// session is one connection's state: its counters, what its log line will say.
type session struct {
	proxy   *Proxy
	conn    *stream.Conn
	down    net.Conn
	plan    *plan
	cluster *upstream.Cluster // nil: not chosen yet, or there is none
	entered int               // gates passed

	mu       sync.Mutex
	x        stream.Exchange // what logs and metrics are told
	pair     *pair           // nil until connected
	shutting bool            // ended from outside
	awaited  int             // peers whose metadata may still come
	meter    meter           // its counters are nil until the connection is counted as opened
	cache    telemetry.IstioCache
	reported [2]uint64 // bytes from and to the downstream already in the counters

	// Of the sweep alone.
	lastMoved uint64
	lastSeen  time.Time
	nextLook  time.Time
	checked   *config.Runtime // that was looked at for the chain
	removed   time.Time       // when the chain was found to be removed; zero: it is there
	orphaned  bool            // closed for that
}

func newSession(p *Proxy, c *stream.Conn, down net.Conn) *session {
	s := &session{proxy: p, conn: c, down: down, plan: p.planOf(c.Chain), lastSeen: c.Start}
	s.x.Reset(c, c.Start)
	s.x.ClusterName = s.plan.tcp.Clusters[0].Name
	s.plan.prefix.CxTotal.Add(1)
	return s
}

// enter asks the chain's filters in their order. One that refuses closes the connection, some after a while.
func (s *session) enter() bool {
	for i, g := range s.plan.gates {
		if r := g.enter(s.conn); r != nil {
			s.setEnd(r.details, r.flags)
			s.proxy.hold(r.delay)
			return false
		}
		s.entered = i + 1
	}
	return true
}

func (s *session) leave() {
	for _, g := range s.plan.gates[:s.entered] {
		g.leave()
	}
}

// hold holds a refused connection.
func (p *Proxy) hold(delay time.Duration) {
	if delay <= 0 {
		return
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ctx.Done():
	}
}

// route records which cluster was chosen.
func (s *session) route(name string, c *upstream.Cluster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cluster = c
	s.x.ClusterName = name
	if c != nil {
		s.x.Cluster = c.Config()
	}
}

func (s *session) connected(host *upstream.Host, up stream.Upstream) {
	up.Host, up.Endpoint = host.Endpoint().Hostname, host.Endpoint()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shutting {
		s.x.Flags = 0 // of attempts that failed before
	}
	s.x.Upstream = up
}

// relay moves bytes until the connection ends. If the Proxy was closed meanwhile, it ends at once.
func (s *session) relay(up *link) {
	p, err := s.join(up)
	if err != nil {
		s.resetFlags(err, nil)
		s.open()
		return
	}
	s.mu.Lock()
	s.pair = p
	shutting, awaited := s.shutting, s.awaited
	s.mu.Unlock()
	if shutting {
		p.end(errShut)
	}
	if awaited == 0 {
		s.open()
	}
	if s.plan.tcp.LogOnConnect {
		s.log()
	}
	s.resetFlags(p.run(s.proxy.Guard), p)
}

// join makes a pair of both connections, after metadata was exchanged.
func (s *session) join(up *link) (*pair, error) {
	here, err := newSide(s.down, s.down)
	if err != nil {
		return nil, err
	}
	there, err := up.side()
	if err != nil {
		return nil, err
	}
	if err := s.exchange(here, there, up.conn); err != nil {
		return nil, err
	}
	return newPair(here, there, &s.proxy.Store.Server.SplicedBytes, s.proxy.pipes), nil
}

var errShut = errors.New("closed by the sidecar")

// shut ends a connection from outside its goroutines.
func (s *session) shut(why string, flags stream.Flags) {
	s.setEnd(why, flags)
	s.mu.Lock()
	s.shutting = true
	p := s.pair
	s.mu.Unlock()
	if p != nil {
		p.end(errShut)
	}
}

// setEnd records why the connection ends. Once a reason was given it stays.
func (s *session) setEnd(why string, flags stream.Flags) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.Termination == "" {
		s.conn.Termination = why
		s.x.Flags |= flags
	}
}

// resetFlags says which side ended the connection, if one broke it.
func (s *session) resetFlags(cause error, p *pair) {
	var reset *errReset
	var exchange *errExchange
	switch {
	case cause == nil, errors.Is(cause, errShut):
	case errors.As(cause, &reset) && p != nil && reset.side == p.down:
		s.setEnd("", stream.DownstreamReset)
	case errors.As(cause, &reset):
		s.setEnd("", stream.UpstreamReset)
		s.lateFailure(reset)
	case errors.As(cause, &exchange):
		s.setEnd("metadata_exchange_error", stream.LocalReset)
	default:
		s.setEnd("", stream.LocalReset)
	}
}

// lateFailure keeps the reason of a TLS error that came after the handshake: TLS 1.3 servers refuse a client's
// certificate only then.
func (s *session) lateFailure(r *errReset) {
	var op *net.OpError
	if r.side.plain || !errors.As(r.err, &op) || op.Op != "remote error" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.x.Upstream.TransportFailure = tlsctx.Reason(r.err)
}

// log writes the connection's line as it is now.
func (s *session) log() {
	in, out := s.bytes()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn.Received, s.conn.Sent = in, out
	s.x.Received, s.x.Sent = in, out
	s.conn.Flags = s.x.Flags // for the listener's line
	s.x.End = s.proxy.Now().Sub(s.conn.Start)
	s.plan.logs.Log(&s.x)
}
