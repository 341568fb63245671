package agent

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/agent/control"
)

// bound are the sockets that the proxy's configuration asked for. They stay open until a proxy says that they aren't
// wanted: while none runs, connections wait in their accept queues. The supervisor's goroutine uses them.
type bound struct{ fds map[netip.AddrPort]int }

// open returns the socket at an address, at most `most` of them.
func (b *bound) open(address netip.AddrPort, most int) (int, error) {
	if fd, there := b.fds[address]; there {
		return fd, nil
	}
	if len(b.fds) >= most {
		return -1, fmt.Errorf("%d listeners have sockets of their own already, more can't be handed over", len(b.fds))
	}
	fd, err := listenTCP(address)
	if err != nil {
		return -1, err
	}
	if b.fds == nil {
		b.fds = map[netip.AddrPort]int{}
	}
	b.fds[address] = fd
	return fd, nil
}

func (b *bound) release(address netip.AddrPort) {
	if fd, there := b.fds[address]; there {
		_ = unix.Close(fd)
		delete(b.fds, address)
	}
}

// all returns the sockets with their names, in the order of addresses.
func (b *bound) all() (names []string, fds []int) {
	addresses := make([]netip.AddrPort, 0, len(b.fds))
	for address := range b.fds {
		addresses = append(addresses, address)
	}
	slices.SortFunc(addresses, netip.AddrPort.Compare)
	for _, address := range addresses {
		names, fds = append(names, control.BindName(address)), append(fds, b.fds[address])
	}
	return names, fds
}

func (b *bound) close() {
	for address := range b.fds {
		b.release(address)
	}
}

// listen answers a proxy that wants a socket, or doesn't want it any more.
func (w *watch) listen(m control.Message) {
	address, err := netip.ParseAddrPort(m.Address)
	if err != nil {
		w.complain(fmt.Errorf("%w: %s without address", errProtocol, m.Type))
		return
	}
	if m.Type == control.Release {
		w.bound.release(address)
		return
	}
	fd, err := w.bound.open(address, control.MaxSockets-len(w.Names))
	if err != nil {
		w.send(control.Message{Type: control.Sockets, Address: m.Address, Error: err.Error()}, nil)
		return
	}
	w.send(control.Message{Type: control.Sockets, Address: m.Address, Sockets: []string{control.BindName(address)}}, []int{fd})
}
