// Package http carries HTTP. A connection whose filter chain ends in an HTTP manager comes in; its requests are routed,
// filtered, sent to hosts of clusters, tried again, answered, counted and logged. The versions of HTTP are packages h1
// and h2 behind package codec's interfaces; what is decided is in packages route and httpfilter; hosts are package
// upstream's.
//
// Read this file first; then h1.go and h1work.go (a client's connection), call.go (a request from its head to its log line),
// parking.go (a connection without one), forward.go and attempt.go (to an upstream), connect.go (connections to it),
// body.go, answer.go, local.go. wheel.go and deadlines.go are how time ends things.
package http

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/h2"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// Filters are a manager's HTTP filters, in their order: a *httpfilter.Chain. The route is matched before they run.
type Filters interface {
	// Request runs them over a request's head. It may wait until ctx ends; nil goes on.
	Request(ctx context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply
	// Response runs them over the head of an answer.
	Response(x *stream.Exchange)
	// End tells them that an exchange has ended, before it is logged.
	End(x *stream.Exchange)
}

// Tracer makes spans of a manager's requests: a *tracing.Tracer. Begin sets the exchange's Span, the others are called
// for exchanges that have one.
type Tracer interface {
	Begin(x *stream.Exchange)   // the route is known
	Attempt(x *stream.Exchange) // its head goes out next
	Failed(x *stream.Exchange)  // the attempt did, or its answer won't do
	End(x *stream.Exchange)
}

// Options are what an Engine needs.
type Options struct {
	Upstreams *upstream.Manager
	Store     *telemetry.Store
	Logs      *telemetry.Logs                            // nil: no access logs
	Filters   func(*config.HTTPManager) (Filters, error) // nil: no filters
	Tracer    func(*config.HTTPManager) Tracer           // nil, or its answer is: no spans
	Runtime   route.Runtime                              // runtime keys; nil: none is set
	Tap       *telemetry.Tap                             // who watches requests; nil: nobody can
	DrainTime time.Duration                              // over which clients of a removed listener are asked to leave; 0: at once
	Now       func() time.Time                           // nil: time.Now
	// CloseAfter is how long after their listener or chain was removed connections are closed, whatever is under way.
	CloseAfter time.Duration
	Random     func() uint64 // nil: math/rand/v2
	// Guard runs requests that have a goroutine of their own, and keeps their panics from ending the process; nil:
	// nothing does.
	Guard func(func())
}

func (o Options) withDefaults() Options {
	if o.Store == nil {
		o.Store = telemetry.NewStore(0, telemetry.Labels{})
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tap == nil {
		o.Tap = telemetry.NewTap(o.Now)
	}
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	return o
}

// Engine serves HTTP connections.
type Engine struct {
	opts  Options
	wheel *wheel

	draining [2]atomic.Pointer[departure] // by direction; nil: Drain wasn't called
	runtime  *config.Runtime              // under mu; nil: Apply wasn't called
	removed  atomic.Bool                  // the configuration doesn't name a manager that has connections
	mu       sync.Mutex
	managers map[*config.HTTPManager]*manager
	conns    map[conn]struct{}
	closed   bool
	closing  atomic.Bool

	lot       lot
	parkAfter time.Duration

	h2      h2Pools
	crew    *h2.Crew // carries out requests of HTTP/2
	date    date
	pipes   *socket.Pipes   // of tunnels
	mirrors atomic.Int64    // mirrored requests under way
	ctx     context.Context // ends what has no client
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// New returns an Engine; its Close must be called.
func New(o Options) *Engine {
	o = o.withDefaults()
	e := &Engine{
		opts: o, wheel: newWheel(o.Now()), date: date{now: o.Now},
		managers: map[*config.HTTPManager]*manager{}, conns: map[conn]struct{}{}, parkAfter: parkAfter,
		crew: h2.NewCrew(o.Guard), pipes: socket.NewPipes(),
	}
	e.ctx, e.stop = context.WithCancel(context.Background())
	e.work.Go(func() { e.wheel.run(e.ctx.Done(), e.sweep) })
	return e
}

// Serve serves a connection until it ends, and closes it. conn.Chain.HTTP says how.
func (e *Engine) Serve(conn *stream.Conn, raw net.Conn) { e.ServeOrPark(conn, raw, nil) }

// ServeOrPark is Serve, but a connection that is idle for a while may be parked: then it returns true, and when something
// happens on the connection calls wake with what serves it on, or parks it again; that shall be run on a goroutine of its
// own. The connection is the engine's until it isn't parked any more.
func (e *Engine) ServeOrPark(conn *stream.Conn, raw net.Conn, wake func(func() (parked bool))) (parked bool) {
	m, err := e.manager(conn.Chain.HTTP)
	if err != nil {
		_ = raw.Close()
		if conn.Left != nil {
			conn.Left()
		}
		return false
	}
	s := newSession(e, m, conn)
	if speaksHTTP2(conn, m.cfg) {
		defer s.end()
		defer raw.Close()
		serveH2(s, raw, nil)
		return false
	}
	return serveH1(s, raw, wake)
}

// speaksHTTP2 chooses the codec: as configured, else as ALPN says it. Without either HTTP/1 it is, until the first bytes
// say otherwise.
func speaksHTTP2(conn *stream.Conn, m *config.HTTPManager) bool {
	if m.Codec != config.CodecAuto {
		return m.Codec == config.CodecHTTP2
	}
	alpn := conn.ALPN
	if conn.TLS != nil {
		alpn = []string{conn.TLS.ALPN}
	}
	for _, name := range alpn {
		if name == "h2" || name == "h2c" || name == "istio-h2" {
			return true
		}
	}
	return false
}

// Active is the number of connections.
func (e *Engine) Active() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.conns)
}

const closePoll = 5 * time.Millisecond

// Close lets requests under way end, closes idle connections at once and the others when ctx ends. It waits for all.
func (e *Engine) Close(ctx context.Context) {
	e.closing.Store(true)
	e.Drain(false, 0)
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	ticker := time.NewTicker(closePoll)
	defer ticker.Stop()
	for e.Active() > 0 {
		e.each(func(c conn) { c.closeIdle() })
		select {
		case <-ticker.C:
		case <-ctx.Done():
			e.each(func(c conn) { c.abort() })
			<-ticker.C
		}
	}
	e.stop()
	e.h2.close()
	e.crew.Close()
	e.work.Wait()
	e.lot.close()
	e.pipes.Close()
}

// conn is a client's connection, of either version.
type conn interface {
	inbound() bool
	client() *session // nil: it isn't a client's
	// drain tells the client to go elsewhere, if need be with the answer to its next request; not all: only if it has no
	// request under way.
	drain(all bool)
	closeIdle() // end it if no request is under way
	abort()     // end it whatever it does
}

func (e *Engine) each(f func(conn)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		f(c)
	}
}

func (e *Engine) join(c conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.conns[c] = struct{}{}
	return true
}

func (e *Engine) leave(c conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
}
