// Package listener takes connections from the capture ports. A listening socket and the configuration come in; each
// connection goes out to the TCP proxy, with its original destination and the filter chain chosen for it. Read
// accept.go first.
package listener

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/tcp"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// acceptPause is how long accepting rests when the process has no descriptor left: the connections wait in the kernel.
const acceptPause = 100 * time.Millisecond

// Options are what an Acceptor needs.
type Options struct {
	Runtime     *atomic.Pointer[config.Runtime]
	Store       *telemetry.Store
	Serve       func(tcp.Conn)
	Guard       func(func()) // runs a connection, keeps its panic from ending the process
	OriginalDst func(*net.TCPConn) (netip.AddrPort, error)
	Now         func() time.Time
	MaxConns    int64 // of all listeners together
}

// Acceptor runs one accept loop a socket. Connections are served on goroutines of their own; Wait waits for them.
type Acceptor struct {
	Options
	conns sync.WaitGroup
}

// New returns an Acceptor.
func New(o Options) *Acceptor { return &Acceptor{Options: o} }

// Run accepts connections for the listener called name until ctx ends or the socket is closed, then returns. It
// doesn't close the socket: others may hold it too.
func (a *Acceptor) Run(ctx context.Context, socket *net.TCPListener, name string) error {
	stats := a.Store.Listener(socket.Addr().String())
	stop := context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for ctx.Err() == nil {
		conn, err := socket.AcceptTCP()
		switch {
		case err == nil:
			a.admit(conn, name, stats)
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return nil
		case isShortage(err):
			a.Store.Server.AcceptPauses.Add(1)
			pause(ctx)
		case errors.Is(err, syscall.ECONNABORTED):
		default:
			return err
		}
	}
	return nil
}

// Wait waits until all connections have been served.
func (a *Acceptor) Wait() { a.conns.Wait() }

func isShortage(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func pause(ctx context.Context) {
	timer := time.NewTimer(acceptPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (a *Acceptor) admit(conn *net.TCPConn, name string, stats *telemetry.Listener) {
	stats.CxTotal.Add(1)
	if a.Store.Server.TotalConnections.Add(1) > a.MaxConns {
		a.Store.Server.TotalConnections.Add(-1)
		stats.CxOverflow.Add(1)
		stats.CxDestroy.Add(1)
		_ = conn.Close()
		return
	}
	stats.CxActive.Add(1)
	a.conns.Go(func() {
		defer a.leave(conn, stats)
		a.Guard(func() { a.handle(conn, name, stats) })
	})
}

func (a *Acceptor) leave(conn *net.TCPConn, stats *telemetry.Listener) {
	_ = conn.Close()
	stats.CxActive.Add(-1)
	stats.CxDestroy.Add(1)
	a.Store.Server.TotalConnections.Add(-1)
}

// handle finds out where the connection was going and hands it on, or returns to have it closed.
func (a *Acceptor) handle(conn *net.TCPConn, name string, stats *telemetry.Listener) {
	dst, err := a.OriginalDst(conn)
	if err != nil {
		stats.NoOrigin.Add(1)
		return
	}
	runtime := a.Runtime.Load()
	l := runtime.Listener(name)
	if l == nil {
		stats.NoFilterChain.Add(1)
		return
	}
	chain := Select(l, dst)
	if chain == nil {
		stats.NoFilterChain.Add(1)
		return
	}
	a.Serve(tcp.Conn{
		Down: conn, Start: a.Now(), OriginalDst: dst, Direction: l.Direction,
		Chain: chain, Cluster: runtime.Cluster(chain.TCP.Clusters[0].Name),
	})
}
