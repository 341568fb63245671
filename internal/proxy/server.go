// Package proxy is the pod's data plane: `pillion-sidecar proxy`. Listening sockets and settings come in; carried
// connections, metrics and access log lines come out. This file joins the parts: listener (accept, original
// destination, chain) → tcp (relay) → upstream (dial), with telemetry beside them and config in front.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/ops"
	"github.com/pillion-mesh/pillion/internal/proxy/admin"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/listener"
	"github.com/pillion-mesh/pillion/internal/proxy/tcp"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// Names of the sockets the agent hands over, before the slash; what follows it is the family.
const (
	SocketOutbound = "15001"
	SocketInbound  = "15006"
	SocketStats    = "15090"
	SocketUnix     = "proxy.sock"
)

// Options are what a Server needs. The functions may be nil, then the system's are used.
type Options struct {
	Epoch       int
	Config      config.Settings
	Labels      telemetry.Labels
	MaxConns    int64
	OwnPorts    []uint16 // never dialled on local addresses; nil: Istio's
	AccessLog   io.Writer
	Log         logr.Logger
	Now         func() time.Time
	OriginalDst func(*net.TCPConn) (netip.AddrPort, error)
	LocalAddrs  func() ([]net.Addr, error)
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OriginalDst == nil {
		o.OriginalDst = listener.OriginalDst
	}
	if o.LocalAddrs == nil {
		o.LocalAddrs = net.InterfaceAddrs
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
	runtime  atomic.Pointer[config.Runtime]
	store    *telemetry.Store
	logs     *telemetry.Logs
	upstream *upstream.Manager
	guard    *guard
	tcp      *tcp.Proxy
	acceptor *listener.Acceptor
	draining atomic.Bool

	ctx    context.Context // ends accepting
	cancel context.CancelFunc
	loops  sync.WaitGroup
	fatal  chan error
}

// New returns a Server that is configured, and warm: there is nothing to wait for without a control plane.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	o.Config.AccessLogs = []*config.AccessLog{{Name: "envoy.access_loggers.stdout", Format: &config.Format{Source: format.Istio}}}
	s := &Server{opts: o, started: o.Now(), store: telemetry.NewStore(o.Epoch, o.Labels), fatal: make(chan error, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.runtime.Store(config.Static(o.Config))
	s.logs = telemetry.NewLogs(telemetry.LogOptions{Stdout: o.AccessLog, Dropped: &s.store.Server.LogLinesDropped})
	s.upstream = upstream.NewManager(upstream.Options{Store: s.store, OwnPorts: o.OwnPorts, LocalAddrs: o.LocalAddrs, Now: o.Now, Log: o.Log})
	s.upstream.Apply(s.runtime.Load())
	s.guard = &guard{log: o.Log, panics: &s.store.Server.Panics, now: o.Now,
		tooMany: func() { s.fail(errors.New("three connections panicked within ten seconds")) }}
	s.tcp = tcp.New(tcp.Options{Upstream: s.upstream, Store: s.store, Logs: s.logs, Now: o.Now, Guard: s.guard.run})
	s.acceptor = listener.New(listener.Options{Runtime: &s.runtime, Store: s.store, Logs: s.logs, TCP: s.tcp.Serve, Guard: s.guard.run,
		OriginalDst: o.OriginalDst, Now: o.Now, MaxConns: o.MaxConns})
	return s, nil
}

// Accept starts serving the sockets, by name. It returns an error without serving any if one is unknown.
func (s *Server) Accept(sockets map[string]net.Listener) error {
	var serve []func()
	for name, socket := range sockets {
		f, err := s.server(name, socket)
		if err != nil {
			return err
		}
		serve = append(serve, f)
	}
	for _, f := range serve {
		s.loops.Go(f)
	}
	return nil
}

// server returns what serves one socket.
func (s *Server) server(name string, socket net.Listener) (func(), error) {
	kind, _, _ := strings.Cut(name, "/")
	switch kind {
	case SocketOutbound:
		return s.listen(socket, config.VirtualOutbound)
	case SocketInbound:
		return s.listen(socket, config.VirtualInbound)
	case SocketStats, SocketUnix:
		return func() { s.serveStats(name, socket) }, nil
	default:
		return nil, fmt.Errorf("socket %q is unknown to this proxy", name)
	}
}

func (s *Server) listen(socket net.Listener, name string) (func(), error) {
	tcpSocket, ok := socket.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("the socket of listener %s is %T, not TCP", name, socket)
	}
	return func() {
		if err := s.acceptor.Run(s.ctx, tcpSocket, name); err != nil {
			s.fail(fmt.Errorf("accepting on %s: %w", tcpSocket.Addr(), err))
		}
		_ = tcpSocket.Close() // this process's duplicate; the agent's goes on listening
	}, nil
}

func (s *Server) serveStats(name string, socket net.Listener) {
	if err := ops.Serve(s.ctx, socket, admin.Metrics(s.Metrics), ops.Limits{}); err != nil {
		s.opts.Log.Error(err, "Serving metrics failed", "socket", name)
	}
}

// Drain is told that the pod is going away. TCP peers can't be asked to leave, so connections just go on.
func (s *Server) Drain() { s.draining.Store(true) }

// Draining reports whether Drain was called.
func (s *Server) Draining() bool { return s.draining.Load() }

// Active is the number of application connections being carried.
func (s *Server) Active() int { return s.tcp.Active() }

// Metrics returns all metrics as Prometheus text.
func (s *Server) Metrics() []byte {
	s.tcp.FlushCounters()
	return s.store.Text(s.started, s.opts.Now(), !s.draining.Load())
}

// Fatal delivers the reason why the process should end, if it should.
func (s *Server) Fatal() <-chan error { return s.fatal }

func (s *Server) fail(err error) {
	select {
	case s.fatal <- err:
	default:
	}
}

// Close stops accepting, ends the connections, writes the rest of the access log. It takes no longer than ctx and
// 200 ms. Who visits the metrics is waited for last: a visitor who says nothing costs nobody else's time.
func (s *Server) Close(ctx context.Context) {
	s.cancel()
	s.tcp.Close(ctx)
	s.upstream.Close()
	s.logs.Close()
	s.loops.Wait()
}
