package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/socket"
)

// loopbackIndex is the loopback interface's index: the kernel gives it the first one in every namespace.
const loopbackIndex = 1

// NetlinkLinks are the interfaces of the network namespace of the thread that opened them.
type NetlinkLinks struct{ sock *socket.Socket }

// OpenLinks connects to the calling thread's network namespace.
func OpenLinks() (*NetlinkLinks, error) {
	sock, err := socket.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket for addresses: %w", err)
	}
	return &NetlinkLinks{sock: sock}, nil
}

// Close ends the connection.
func (l *NetlinkLinks) Close() error { return l.sock.Close() }

// Addresses are those of all interfaces.
func (l *NetlinkLinks) Addresses() ([]netip.Addr, error) {
	answers, err := l.ask(unix.RTM_GETADDR, netlink.Dump, make([]byte, unix.SizeofIfAddrmsg))
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	var addresses []netip.Addr
	for _, m := range answers {
		if len(m.Data) < unix.SizeofIfAddrmsg {
			continue
		}
		a, err := addressOf(m.Data[unix.SizeofIfAddrmsg:])
		if err != nil {
			return nil, fmt.Errorf("reading an address: %w", err)
		}
		if a.IsValid() {
			addresses = append(addresses, a)
		}
	}
	return addresses, nil
}

// addressOf finds the interface's own address: on point-to-point links IFA_ADDRESS is the other end's.
func addressOf(attributes []byte) (address netip.Addr, err error) {
	for len(attributes) > 0 {
		attribute, rest, err := socket.Next(attributes)
		if err != nil {
			return address, err
		}
		attributes = rest
		a, ok := netip.AddrFromSlice(attribute.Data)
		switch {
		case attribute.Kind == unix.IFA_LOCAL && ok:
			return a, nil
		case attribute.Kind == unix.IFA_ADDRESS && ok:
			address = a
		}
	}
	return address, nil
}

// AddToLoopback gives lo an address; one that is there already is fine.
func (l *NetlinkLinks) AddToLoopback(p netip.Prefix) error {
	err := l.change(unix.RTM_NEWADDR, netlink.Acknowledge|netlink.Create, p)
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("adding %s to lo: %w", p, err)
	}
	return nil
}

// RemoveFromLoopback takes an address from lo; one that is gone already is fine.
func (l *NetlinkLinks) RemoveFromLoopback(p netip.Prefix) error {
	err := l.change(unix.RTM_DELADDR, netlink.Acknowledge, p)
	if err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return fmt.Errorf("removing %s from lo: %w", p, err)
	}
	return nil
}

func (l *NetlinkLinks) change(kind netlink.HeaderType, flags netlink.HeaderFlags, p netip.Prefix) error {
	family := byte(unix.AF_INET6)
	if p.Addr().Is4() {
		family = unix.AF_INET
	}
	message := []byte{family, byte(p.Bits()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE}
	message = binary.NativeEndian.AppendUint32(message, loopbackIndex)
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.IFA_LOCAL, Data: p.Addr().AsSlice()}, {Type: unix.IFA_ADDRESS, Data: p.Addr().AsSlice()},
	})
	if err != nil {
		return err
	}
	if _, err = l.ask(kind, flags, append(message, attributes...)); errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%w (%w)", nft.ErrPermission, err)
	}
	return err
}

func (l *NetlinkLinks) ask(kind netlink.HeaderType, flags netlink.HeaderFlags, data []byte) ([]netlink.Message, error) {
	return l.sock.Ask(kind, flags, data)
}
