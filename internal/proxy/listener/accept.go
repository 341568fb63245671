// Package listener takes connections from the capture ports. A listening socket and the configuration come in; each
// connection goes out to an engine, with its original destination, the filter chain chosen for it and, if that chain
// has a TLS context, behind TLS.
//
// Read accept.go first, then handle.go (one connection's way), stay.go (its end), table.go (which listener takes it), inspect.go (what its
// first bytes say), select.go (which chain) over tree.go.
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
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// acceptPause is how long accepting rests when the process has no descriptor left: the connections wait in the kernel.
const acceptPause = 100 * time.Millisecond

// Options are what an Acceptor needs.
type Options struct {
	Runtime *atomic.Pointer[config.Runtime]
	Store   *telemetry.Store
	Logs    *telemetry.Logs // of listeners; nil: nothing is logged
	// TCP and HTTP are the engines. They own the connection until they return; it is a *socket.Conn or, behind TLS, a
	// *tls.Conn. The listener closes it afterwards, if they haven't.
	TCP func(*stream.Conn, net.Conn)
	// HTTP may return before the connection's end, saying that it is parked: nothing happens on it, and it shall cost no
	// goroutine. When something happens the engine calls wake, once for each time it parked the connection, with what is
	// to be run on a goroutine again, and which may park it again.
	HTTP        func(c *stream.Conn, down net.Conn, wake func(func() (parked bool))) (parked bool)
	Guard       func(func()) // runs a connection, keeps its panic from ending the process
	OriginalDst func(*socket.Conn) (netip.AddrPort, error)
	Now         func() time.Time
	MaxConns    int64 // of all listeners together
	// Inbound reports whether a destination is one of this pod's, for profiles that capture both ways into one socket:
	// such connections go to virtualInbound. nil: none is.
	Inbound func(netip.AddrPort) bool
	// Proof gets the nonce of a probe of capture, and where it was going. nil: probes are connections like any other.
	Proof func(nonce [ProofBytes]byte, dst netip.AddrPort)
}

// Acceptor runs one accept loop a socket. Connections are served on goroutines of their own, but those that an engine
// has parked; Wait waits for all.
type Acceptor struct {
	Options
	conns sync.WaitGroup
	ids   atomic.Uint64
	table atomic.Pointer[Table]
	mu    sync.Mutex // held while a table is made
}

// New returns an Acceptor.
func New(o Options) *Acceptor { return &Acceptor{Options: o} }

// Table returns the table of the present configuration. The first who asks after a change makes it; whoever changes the
// configuration had better ask at once, so that no connection waits for it.
func (a *Acceptor) Table() *Table {
	runtime := a.Runtime.Load()
	if t := a.table.Load(); t != nil && t.runtime == runtime {
		return t
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.table.Load()
	if t == nil || t.runtime != runtime {
		t = NewTable(runtime, t)
		a.table.Store(t)
	}
	return t
}

// Run accepts connections for the listener called name until ctx ends or the socket is closed, then returns. It
// doesn't close the socket: others may hold it too.
func (a *Acceptor) Run(ctx context.Context, on *socket.Listener, name string) error {
	stats := a.Store.Listener(on.Addr().String())
	stop := on.InterruptWith(ctx)
	defer stop()
	for ctx.Err() == nil {
		conn, err := on.AcceptConn()
		switch {
		case err == nil:
			a.admit(ctx, conn, name, stats)
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

func (a *Acceptor) admit(ctx context.Context, conn *socket.Conn, name string, stats *telemetry.Listener) {
	if a.Store.Server.TotalConnections.Add(1) > a.MaxConns {
		a.Store.Server.TotalConnections.Add(-1)
		stats.CxOverflow.Add(1)
		_ = conn.Close()
		return
	}
	a.conns.Add(1)
	s := &stay{acceptor: a, socket: conn, start: a.Now(), stats: stats}
	go s.run(func() (parked bool) {
		v := visit{stay: s, ctx: ctx}
		return v.handle(name)
	})
}
