// Package tcp forwards connections as bytes. A downstream connection with its chain comes in; an upstream connection,
// counters and one access log line come out. Proxy.Serve is one connection's life: read proxy.go first, then pair.go
// (two directions and how they end), relay.go (one direction), splice.go (the same inside the kernel), idle.go.
package tcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// Dialer opens upstream connections; *upstream.Dialer is one.
type Dialer interface {
	Dial(ctx context.Context, c *config.Cluster, dst, client netip.AddrPort) (*net.TCPConn, error)
}

// Logger takes finished connections; *telemetry.AccessLog is one.
type Logger interface{ Log(*telemetry.Entry) }

// Options are what a Proxy needs.
type Options struct {
	Dialer Dialer
	// Cluster returns a cluster of the present configuration, nil if there is none of that name.
	Cluster func(name string) *config.Cluster
	Store   *telemetry.Store
	Log     Logger
	Now     func() time.Time
	// Guard runs a direction of a connection and keeps its panic from ending the process.
	Guard func(func())
}

// Proxy forwards connections until Close.
type Proxy struct {
	Options
	pipes  *pipePool
	ctx    context.Context // ends dials
	cancel context.CancelFunc

	mu       sync.Mutex
	sessions map[*session]struct{}
	closed   bool
	sweeper  chan struct{} // closed when the idle sweep has ended
}

// New returns a Proxy; its Close must be called.
func New(o Options) *Proxy {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{Options: o, pipes: newPipePool(), ctx: ctx, cancel: cancel,
		sessions: map[*session]struct{}{}, sweeper: make(chan struct{})}
	go p.sweep()
	return p
}

// Serve carries one connection to its end and closes it.
func (p *Proxy) Serve(c *stream.Conn, down net.Conn) {
	defer down.Close() //nolint:errcheck // nobody is left to tell
	s := newSession(p, c, down)
	if !p.add(s) {
		return
	}
	defer p.finish(s)
	if s.cluster == nil {
		s.setEnd("", stream.NoClusterFound)
		return
	}
	up, err := p.Dialer.Dial(p.ctx, s.cluster, c.Local, c.Remote)
	if err != nil {
		s.failed(err)
		return
	}
	defer up.Close() //nolint:errcheck // nobody is left to tell
	s.connected(up)
	s.relay(up)
}

// Active is the number of connections being carried.
func (p *Proxy) Active() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sessions)
}

// FlushCounters brings the counters of bytes up to date with connections that are still open.
func (p *Proxy) FlushCounters() {
	for _, s := range p.list() {
		s.report()
	}
}

func (p *Proxy) add(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.sessions[s] = struct{}{}
	return true
}

// finish logs before it takes the session off the list, so that a closed Proxy has logged all of them.
func (p *Proxy) finish(s *session) {
	s.report()
	s.ended()
	p.Log.Log(s.entry())
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, s)
}

func (p *Proxy) list() []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*session, 0, len(p.sessions))
	for s := range p.sessions {
		list = append(list, s)
	}
	return list
}

// dialFlags says in Envoy's terms why a dial failed.
func dialFlags(err error) stream.Flags {
	switch {
	case errors.Is(err, upstream.ErrNoHost):
		return stream.NoHealthyUpstream
	case errors.Is(err, upstream.ErrSelfDial):
		return stream.NoClusterFound
	default:
		return stream.UpstreamConnectionFailure
	}
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}
