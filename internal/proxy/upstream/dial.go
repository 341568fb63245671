package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/localaddr"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

// Errors a dial can end with besides those of the network.
var (
	ErrNoHost   = errors.New("the cluster has no hosts")
	ErrSelfDial = errors.New("the destination is a port of this sidecar")
)

// dialer opens upstream connections; see newDialer.
type dialer struct {
	ownPorts   []uint16
	localAddrs func() ([]net.Addr, error)
	delay      time.Duration // between the addresses of one host
}

// OwnPorts are the ports of the sidecar that the proxy must never dial on a local address, whatever it is told:
// traffic would loop, or reach the operations API under the proxy's identity.
var OwnPorts = [...]uint16{
	istio.PortAdmin, istio.PortOutbound, istio.PortInbound, istio.PortStatus,
	istio.PortReady, istio.PortDNS, istio.PortProxyStats,
}

// newDialer returns a dialer that refuses ownPorts on the addresses localAddrs lists.
func newDialer(ownPorts []uint16, localAddrs func() ([]net.Addr, error)) *dialer {
	return &dialer{ownPorts: slices.Clone(ownPorts), localAddrs: localAddrs, delay: attemptDelay}
}

// origin is whose connection leads to a dial.
type origin struct {
	client netip.AddrPort
	source *config.OriginalSource // nil: it isn't dialled from the client's address, unless the cluster wants that
}

// dialAddress connects to one address, from where the connection or the cluster says.
func (d *dialer) dialAddress(ctx context.Context, c *config.Cluster, dst netip.AddrPort, o origin) (*socket.Conn, error) {
	self, err := d.isSelf(dst)
	if err != nil {
		return nil, err
	}
	if self {
		return nil, ErrSelfDial
	}
	if o.source != nil && o.client.IsValid() {
		return dialFrom(ctx, c, dst, o)
	}
	if from := o.client.Addr(); c.KeepClient && from.Is4() == dst.Addr().Is4() && !from.IsLoopback() {
		return dial(ctx, c, netip.AddrPortFrom(from, 0), dst, asClient)
	}
	source := c.Source(dst.Addr())
	if !source.IsValid() {
		return dial(ctx, c, netip.AddrPort{}, dst, nil)
	}
	return dial(ctx, c, netip.AddrPortFrom(source, 0), dst, bindWithoutPort)
}

// dial opens a connection within the cluster's connect timeout. Probes are off unless the cluster asks for them: a silent
// upstream is the idle timeout's business. bind prepares the socket for its source; nil: it needs nothing.
func dial(ctx context.Context, c *config.Cluster, source, dst netip.AddrPort, bind func(fd int, v4 bool) error) (*socket.Conn, error) {
	d := socket.Dialer{Source: source.Addr(), Port: source.Port(), Timeout: connectTimeout(c)}
	if bind != nil || c.KeepAlive != nil {
		d.Control = func(fd int) error { return prepare(fd, dst.Addr().Unmap().Is4(), c.KeepAlive, bind) }
	}
	return d.Dial(ctx, dst)
}

func prepare(fd int, v4 bool, probes *config.TCPKeepAlive, bind func(fd int, v4 bool) error) error {
	if probes != nil {
		if err := keepAlive(fd, probes); err != nil {
			return fmt.Errorf("setting keep-alive probes: %w", err)
		}
	}
	if bind != nil {
		return bind(fd, v4)
	}
	return nil
}

// keepAlive leaves what isn't configured as the kernel has it.
func keepAlive(fd int, probes *config.TCPKeepAlive) error {
	set := func(option, value int) error {
		if value <= 0 {
			return nil
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option, value)
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1), set(unix.TCP_KEEPIDLE, wholeSeconds(probes.Time)),
		set(unix.TCP_KEEPINTVL, wholeSeconds(probes.Interval)), set(unix.TCP_KEEPCNT, int(probes.Probes)))
}

// wholeSeconds rounds up: the kernel has nothing shorter.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// bindWithoutPort lets the kernel choose the source port at connect, per 4-tuple. Without it every connection from a given
// address would take its port away from all other destinations, even in TIME_WAIT: 28 000 a minute and no more.
func bindWithoutPort(fd int, _ bool) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("setting IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	return nil
}

// asClient binds an address that isn't this host's. Capture's rules know the connection by its mark, and lead the answers
// back here.
func asClient(fd int, v4 bool) error {
	if err := transparent(fd, v4); err != nil {
		return fmt.Errorf("dialling from the client's address wants NET_ADMIN: %w", err)
	}
	return bindWithoutPort(fd, v4)
}

func transparent(fd int, v4 bool) error {
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if !v4 {
		level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	return errors.Join(unix.SetsockoptInt(fd, level, option, 1), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, istio.TProxyMark))
}

func (d *dialer) isSelf(dst netip.AddrPort) (bool, error) {
	if !slices.Contains(d.ownPorts, dst.Port()) {
		return false, nil
	}
	return localaddr.Is(dst.Addr(), d.localAddrs)
}
