// Package proxy is the pod's data plane: `pillion-sidecar proxy`. Listening sockets and a configuration come in; carried
// connections, metrics and access log lines come out. This file joins the parts: config/source → listener (accept,
// original destination, chain) → tcp and http → upstream, with telemetry beside them. serve.go is what each socket is
// for, bound.go the sockets that the configuration asks for, ops.go what the admin API is told.
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/proxy/admin"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/config/source"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/http"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/listener"
	"github.com/pillion-mesh/pillion/internal/proxy/remotelog"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
	"github.com/pillion-mesh/pillion/internal/proxy/tcp"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx"
	"github.com/pillion-mesh/pillion/internal/proxy/tracing"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// Options are what a Server needs. The functions may be nil, then the system's are used.
type Options struct {
	Epoch int
	// Bootstrap says what to serve and where the rest of it comes from. nil: Config, every connection to where it was
	// going.
	Bootstrap   *xds.BootstrapConfig
	Config      config.Settings
	Labels      telemetry.Labels
	Self        filter.Self // what this workload says of itself to its peers
	MaxConns    int64
	OwnPorts    []uint16 // never dialled on local addresses; nil: Istio's
	AccessLog   io.Writer
	Log         logr.Logger
	Levels      admin.Logging // of Log, at run time
	UID         uint32        // whose processes may change something by the admin API
	CommandLine any           // shown by /server_info
	Version     string
	Now         func() time.Time
	OriginalDst func(*socket.Conn) (netip.AddrPort, error)
	LocalAddrs  func() ([]net.Addr, error)
	// Listen opens the socket of a listener that wants one of its own, and may wait for somebody until ctx ends; Release
	// says that it is closed for good. nil: the system opens them.
	Listen  func(ctx context.Context, address netip.AddrPort) (net.Listener, error)
	Release func(netip.AddrPort)
	// OnePort says that the socket for outbound connections gets inbound ones too: those to an address of this machine.
	OnePort bool
	// Proof gets the nonce of a probe of capture, and where that was going; nil: probes are connections like any other.
	Proof func(nonce [listener.ProofBytes]byte, dst netip.AddrPort)
	// DrainTime is over which HTTP peers are asked to leave, a few at first, all in the end, when the proxy is drained or
	// their listener was removed; 0: all at once.
	DrainTime time.Duration
	// CloseAfter is when connections, of HTTP and TCP, are closed whose listener or filter chain was removed.
	CloseAfter time.Duration
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OriginalDst == nil {
		o.OriginalDst = (*socket.Conn).OriginalDst
	}
	if o.LocalAddrs == nil {
		o.LocalAddrs = net.InterfaceAddrs
	}
	if o.Listen == nil {
		o.Listen = listenTCP
	}
	if o.Release == nil {
		o.Release = func(netip.AddrPort) {}
	}
	if o.OwnPorts == nil {
		o.OwnPorts = upstream.OwnPorts[:]
	}
	return o
}

// Server is one epoch of the proxy.
type Server struct {
	opts     Options
	started  time.Time
	source   *source.Source
	store    *telemetry.Store
	logs     *telemetry.Logs
	tap      *telemetry.Tap
	values   *admin.Layers
	upstream *upstream.Manager
	guard    *guard
	tcp      *tcp.Proxy
	http     *http.Engine
	tracing  *tracing.Exporter
	remote   *remotelog.Exporter
	acceptor *listener.Acceptor
	// accepting is acceptor once that is there: configurations may come before.
	accepting atomic.Pointer[listener.Acceptor]
	bound     *bound
	sockets   sockets
	waiting   []func() // what serves applications, until Accept
	leaveOnce sync.Once
	left      chan struct{} // closed when nothing is left to be done
	draining  atomic.Bool
	failing   atomic.Bool // its health checks, by the admin API

	ctx    context.Context // ends accepting
	cancel context.CancelFunc
	// operating ends with ctx, or when another process has taken over: who serves operators.
	operating     context.Context
	stopOperating context.CancelFunc

	loops sync.WaitGroup
	fatal chan error
}

// New returns a Server with the configuration that needs nobody: Run fetches the rest.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	s := &Server{
		opts: o, started: o.Now(), store: telemetry.NewStore(o.Epoch, o.Labels), tap: telemetry.NewTap(o.Now),
		values: layers(o.Bootstrap), fatal: make(chan error, 1), left: make(chan struct{}),
	}
	s.configureStatistics()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.operating, s.stopOperating = context.WithCancel(s.ctx)
	s.logs = telemetry.NewLogs(telemetry.LogOptions{Stdout: o.AccessLog, Dropped: &s.store.Server.LogLinesDropped, Runtime: s.values.PerMillion, Remote: s.remoteLog})
	s.upstream = s.newUpstream()
	s.guard = &guard{log: o.Log, panics: &s.store.Server.Panics, now: o.Now,
		tooMany: func() { s.fail(errors.New("three connections panicked within ten seconds")) }}
	s.http = s.newHTTP()
	s.tracing, s.remote = s.newTracing(), s.newRemoteLogs()
	s.bound = newBound(s)
	var err error
	if s.source, err = s.newSource(); err != nil {
		s.Close(s.ctx)
		return nil, err
	}
	s.tcp = tcp.New(tcp.Options{Upstream: s.upstream, Store: s.store, Logs: s.logs, Now: o.Now, Guard: s.guard.run, Self: o.Self, Call: s.http.Call, Tunnel: s.tunnel,
		Runtime: s.source.Runtime(), CloseAfter: o.CloseAfter})
	s.acceptor = listener.New(listener.Options{Runtime: s.source.Runtime(), Store: s.store, Logs: s.logs, TCP: s.tcp.Serve, HTTP: s.admitHTTP, Guard: s.guard.runConnection,
		OriginalDst: o.OriginalDst, Now: o.Now, MaxConns: o.MaxConns, Inbound: s.inbound(), Proof: o.Proof})
	s.accepting.Store(s.acceptor)
	s.store.OnRead(s.bringUpToDate)
	s.loops.Go(func() { s.source.Run(s.ctx) })
	return s, nil
}

func (s *Server) newSource() (*source.Source, error) {
	o := source.Options{Bootstrap: s.opts.Bootstrap, Before: s.prepare, After: s.compile, Warm: s.upstream.Warm, Now: s.opts.Now, Log: s.opts.Log.WithName("config")}
	if o.Bootstrap == nil {
		s.opts.Config.AccessLogs = []*config.AccessLog{{Name: "envoy.access_loggers.stdout", Format: &config.Format{Source: format.Istio}}}
		return source.Static(s.opts.Config, o), nil
	}
	o.TLS = func(c *config.ClientTLS) *tls.Config { return tlsctx.Client(c, tlsctx.ClientOptions{}) }
	return source.New(o)
}

// prepare has the clusters of a new configuration before its listeners lead there.
func (s *Server) prepare(r *config.Runtime) {
	s.upstream.Apply(r)
	s.http.Apply(r)
	s.bound.follow(r)
}

// compile has the listeners' table made, so that no connection waits for it.
func (s *Server) compile() {
	if a := s.accepting.Load(); a != nil {
		a.Table()
	}
}

// Ready reports whether the first whole configuration is there.
func (s *Server) Ready() bool { return s.source.Ready() }

// Warm is closed when Ready becomes true.
func (s *Server) Warm() <-chan struct{} { return s.source.Warm() }

// Draining reports whether Drain was called.
func (s *Server) Draining() bool { return s.draining.Load() }

// Active is the number of application connections, from their accept on.
func (s *Server) Active() int { return int(s.store.Server.TotalConnections.Load()) }

// Fatal delivers the reason why the process should end, if it should.
func (s *Server) Fatal() <-chan error { return s.fatal }

func (s *Server) fail(err error) {
	select {
	case s.fatal <- err:
	default:
	}
}

// Close stops accepting, ends the connections, writes the rest of the access log. It takes no longer than ctx and
// 200 ms. Who visits the admin API is waited for last: a visitor who says nothing costs nobody else's time.
func (s *Server) Close(ctx context.Context) {
	s.cancel()
	s.loops.Go(func() { s.tracing.Close(ctx) }) // beside the engine, which carries the last spans
	s.loops.Go(func() { s.remote.Close(ctx) })
	var tcp sync.WaitGroup
	if s.tcp != nil {
		tcp.Go(func() { s.tcp.Close(ctx) }) // beside the engine, which carries its tunnels
	}
	s.http.Close(ctx)
	tcp.Wait()
	s.upstream.Close()
	s.bound.close()
	s.logs.Close()
	s.loops.Wait()
}
