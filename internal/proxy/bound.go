package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

// bound holds the sockets of listeners that want one of their own (bind_to_port) and didn't get it among the capture
// ports. A socket is asked for when its listener comes, closed when it goes; one that can't be had is told of and tried
// again with the next configuration. Under an agent it is the agent that opens them, and the next epoch begins with
// those it holds.
type bound struct {
	server *Server

	mu      sync.Mutex
	started bool
	given   map[uint16]bool // ports of the capture sockets
	open    map[netip.AddrPort]*place
	last    *config.Runtime
	stopped [2]bool // by direction
	left    bool    // another process has the sockets now
}

// place is where a listener listens.
type place struct {
	socket *socket.Listener // nil: it is on its way
	served bool
}

func newBound(s *Server) *bound {
	return &bound{server: s, given: map[uint16]bool{}, open: map[netip.AddrPort]*place{}}
}

// has says that the port of a socket is served already.
func (b *bound) has(l net.Listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		b.given[a.AddrPort().Port()] = true
	}
}

// inherit takes a socket that an epoch before this one had asked for.
func (b *bound) inherit(address netip.AddrPort, l net.Listener) {
	on, err := socket.Listen(l)
	if err != nil {
		b.server.opts.Log.Error(err, "A listener has no socket", "address", address)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[address] = &place{socket: on}
}

// start opens the sockets; until then nothing may be accepted.
func (b *bound) start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.started = true
	if b.last != nil {
		b.reconcile(b.last)
	}
}

// close closes what was inherited and never served.
func (b *bound) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.open {
		if !p.served {
			_ = p.socket.Close()
		}
	}
}

// follow opens and closes sockets as a configuration has them.
func (b *bound) follow(r *config.Runtime) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = r
	if b.started && !b.left {
		b.reconcile(r)
	}
}

func (b *bound) reconcile(r *config.Runtime) {
	wanted := map[netip.AddrPort]string{}
	for l := range r.Listeners {
		for _, address := range l.Addresses {
			if l.Bind && !b.given[address.Port()] && !b.stopped[l.Direction] {
				wanted[address] = l.Name
			}
		}
	}
	for address, p := range b.open {
		if _, still := wanted[address]; !still {
			b.drop(address, p)
		}
	}
	for address, name := range wanted {
		p := b.open[address]
		if p == nil {
			p = &place{}
			b.open[address] = p
		}
		if !p.served {
			p.served = true
			b.server.loops.Go(func() { b.serve(p, address, name) })
		}
	}
}

// stop closes the sockets of all listeners, or of inbound ones only, and opens no more of them.
func (b *bound) stop(inboundOnly bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped[config.Inbound] = true
	b.stopped[config.Outbound] = b.stopped[config.Outbound] || !inboundOnly
	if b.started && !b.left && b.last != nil {
		b.reconcile(b.last)
	}
}

// leave has the sockets stay as they are from now on: they are another process's, so none may be released.
func (b *bound) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = true
}

func (b *bound) drop(address netip.AddrPort, p *place) {
	delete(b.open, address)
	if p.socket != nil {
		_ = p.socket.Close()
	}
	b.server.opts.Release(address)
}

// serve accepts connections at a place until it is dropped.
func (b *bound) serve(p *place, address netip.AddrPort, name string) {
	if p.socket == nil { // nobody else sets it
		on, err := b.listen(address)
		if !b.came(p, address, on) {
			return
		}
		if err != nil {
			b.server.opts.Log.Error(fmt.Errorf("listener %q: %w", name, err), "A listener has no socket")
			return
		}
	}
	b.server.accept(p.socket, name)
}

// listen asks for a socket.
func (b *bound) listen(address netip.AddrPort) (*socket.Listener, error) {
	l, err := b.server.opts.Listen(b.server.ctx, address)
	if err != nil {
		return nil, err
	}
	return socket.Listen(l)
}

// came puts a socket in its place, or takes the place away if there is none. It reports whether the place is still
// wanted.
func (b *bound) came(p *place, address netip.AddrPort, on *socket.Listener) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[address] != p {
		if on != nil {
			_ = on.Close()
		}
		if on != nil && b.open[address] == nil {
			b.server.opts.Release(address)
		}
		return false
	}
	if on == nil {
		delete(b.open, address)
	}
	p.socket = on
	return true
}

// listenTCP has the system open a socket.
func listenTCP(_ context.Context, address netip.AddrPort) (net.Listener, error) {
	l, err := net.ListenTCP(network(address.Addr()), net.TCPAddrFromAddrPort(address))
	if err != nil {
		return nil, err // not a nil *net.TCPListener
	}
	return l, nil
}

// network keeps the families apart: each has a socket of its own.
func network(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6"
}
