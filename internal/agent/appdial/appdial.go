// Package appdial connects to the application beside the sidecar. A host as a pod's specification names it comes in; a
// connection that capture lets pass goes out, and never one to the sidecar's own ports. It is for the agent's probes
// and scrapes; the proxy has its own dialer.
package appdial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/localaddr"
)

// ErrOwnPort is what a dial of the sidecar itself ends with: applications choose where a redirect goes, and the
// operations API must not be called in our name.
var ErrOwnPort = errors.New("this is a port of the sidecar itself")

// Dialer opens connections. All fields must be set.
type Dialer struct {
	Pod        netip.Addr // where the application is, by default
	OwnPorts   []uint16   // of the sidecar, refused on the pod's addresses
	LocalAddrs func() ([]net.Addr, error)
}

// Host returns the address to dial for a host in a probe. Empty, and what means "here", is the pod: on a node without
// a mesh the kubelet would call the pod for the first and the node for the second, which no probe of a pod wants. An
// address of this pod is dialled as it is, because it may be of the other family. Everything else is somebody else,
// and called as the kubelet would call it.
func (d *Dialer) Host(host string) string {
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "" || host == "localhost":
		return d.Pod.String()
	case err == nil && (addr.Unmap().IsLoopback() || addr.IsUnspecified()):
		return d.Pod.String()
	}
	return host
}

// DialContext is net.Dialer's. What is local is dialled from the address capture knows as the sidecar's delivery to
// the application, or the connection would come back to the inbound port.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1, ControlContext: d.control}
	return dialer.DialContext(ctx, network, address)
}

// control sees each address a name stands for, just before it is connected to.
func (d *Dialer) control(_ context.Context, _, address string, raw syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dialling %q: %w", address, err)
	}
	local, err := d.isLocal(to.Addr())
	switch {
	case err != nil:
		return err
	case !local:
		return nil
	case slices.Contains(d.OwnPorts, to.Port()):
		return fmt.Errorf("dialling %s: %w", to, ErrOwnPort)
	}
	var bound error
	err = raw.Control(func(fd uintptr) { bound = bindSource(int(fd), to.Addr().Unmap().Is4()) })
	return errors.Join(err, bound)
}

// bindSource leaves the port to connect, so that it is taken from one destination only. Capture gives lo the IPv6
// address; where it is missing nothing is captured, and any source will do.
func bindSource(fd int, v4 bool) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("setting IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	if v4 {
		return bindError(unix.Bind(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(istio.PassthroughV4).As4()}))
	}
	err := unix.Bind(fd, &unix.SockaddrInet6{Addr: netip.MustParseAddr(istio.PassthroughV6).As16()})
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return bindError(err)
}

func bindError(err error) error {
	if err != nil {
		return fmt.Errorf("binding the source address of the sidecar's deliveries: %w", err)
	}
	return nil
}

func (d *Dialer) isLocal(addr netip.Addr) (bool, error) {
	if addr.Unmap().WithZone("") == d.Pod {
		return true, nil
	}
	return localaddr.Is(addr, d.LocalAddrs)
}
