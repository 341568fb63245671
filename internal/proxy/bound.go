package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// bound holds the sockets of listeners that want one of their own (bind_to_port) and didn't get it from the agent. A
// socket is opened when its listener comes, closed when it goes; one that can't be opened is told of and tried again
// with the next configuration.
type bound struct {
	server *Server

	mu      sync.Mutex
	started bool
	given   map[uint16]bool // ports of sockets from the agent
	open    map[netip.AddrPort]*net.TCPListener
	last    *config.Runtime
}

func newBound(s *Server) *bound {
	return &bound{server: s, given: map[uint16]bool{}, open: map[netip.AddrPort]*net.TCPListener{}}
}

// has says that the port of a socket is served already.
func (b *bound) has(socket net.Listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a, ok := socket.Addr().(*net.TCPAddr); ok {
		b.given[a.AddrPort().Port()] = true
	}
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

// follow opens and closes sockets as a configuration has them.
func (b *bound) follow(r *config.Runtime) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = r
	if b.started {
		b.reconcile(r)
	}
}

func (b *bound) reconcile(r *config.Runtime) {
	wanted := map[netip.AddrPort]string{}
	for l := range r.Listeners {
		for _, address := range l.Addresses {
			if l.Bind && !b.given[address.Port()] {
				wanted[address] = l.Name
			}
		}
	}
	for address, socket := range b.open {
		if _, still := wanted[address]; !still {
			_ = socket.Close()
			delete(b.open, address)
		}
	}
	for address, name := range wanted {
		if b.open[address] == nil {
			b.listen(address, name)
		}
	}
}

func (b *bound) listen(address netip.AddrPort, name string) {
	socket, err := net.ListenTCP(network(address.Addr()), net.TCPAddrFromAddrPort(address))
	if err != nil {
		b.server.opts.Log.Error(fmt.Errorf("listener %q: %w", name, err), "A listener has no socket")
		return
	}
	b.open[address] = socket
	b.server.loops.Go(func() { b.server.accept(socket, name) })
}

// network keeps the families apart: each has a socket of its own.
func network(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6"
}
