// Package tcp forwards connections as bytes. A downstream connection with its chain comes in; an upstream connection,
// counters and access log lines come out. Proxy.Serve is one connection's life: read proxy.go first, then plan.go (what
// the connections of a chain share), gate.go (filters that let in), connect.go (cluster and host), greet.go (metadata
// exchange), pair.go (two directions and how they end) over side.go, relay.go (one direction), splice.go (the same
// inside the kernel), idle.go.
package tcp

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// Options are what a Proxy needs.
type Options struct {
	Upstream *upstream.Manager
	Store    *telemetry.Store
	Logs     *telemetry.Logs // nil: nothing is logged
	Now      func() time.Time
	// Runtime is the configuration there is: connections of a chain it doesn't have any more are closed CloseAfter later.
	// nil: chains aren't removed.
	Runtime    *atomic.Pointer[config.Runtime]
	CloseAfter time.Duration
	// Guard runs a direction of a connection and keeps its panic from ending the process.
	Guard func(func())
	Self  filter.Self // what metadata exchange says of this workload
	// Call sends a request to a cluster, as network filters that ask a service want it.
	Call func(context.Context, *filter.Call) (*filter.Answer, error)
	// Tunnel asks a host for a tunnel, as chains with tunneling_config want it; it is the engine of HTTP's. nil: there
	// are none.
	Tunnel func(context.Context, *upstream.Cluster, *upstream.Host, *stream.Exchange) (Tunnel, error)
}

// Proxy forwards connections until Close.
type Proxy struct {
	Options
	plans  plans
	void   telemetry.Counter // of Istio's metrics where nobody asked for them
	pipes  *socket.Pipes
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
	p := &Proxy{Options: o, pipes: socket.NewPipes(), ctx: ctx, cancel: cancel,
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
	if !s.enter() {
		return
	}
	if up := s.connect(); up != nil {
		defer up.Close() //nolint:errcheck // nobody is left to tell
		s.relay(up)
	}
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
	s.leave()
	s.open()
	s.report()
	s.ended()
	s.log()
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
