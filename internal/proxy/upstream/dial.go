package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/localaddr"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
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

// dialAddress connects to one address, from where the cluster says.
func (d *dialer) dialAddress(ctx context.Context, c *config.Cluster, dst, client netip.AddrPort) (*net.TCPConn, error) {
	self, err := d.isSelf(dst)
	if err != nil {
		return nil, err
	}
	if self {
		return nil, ErrSelfDial
	}
	if from := client.Addr(); c.KeepClient && from.Is4() == dst.Addr().Is4() && !from.IsLoopback() {
		return dial(ctx, from, dst, c.KeepAlive, asClient)
	}
	return dial(ctx, c.Source(dst.Addr()), dst, c.KeepAlive, bindWithoutPort)
}

// dial turns keep-alive probes off unless the cluster asks for them: a silent upstream is the idle timeout's business,
// and the system calls that set them up would cost every connection. It binds without source too: DialTCP takes no
// address at all for the wildcard's, and would take a port for it (see bindWithoutPort).
func dial(ctx context.Context, source netip.Addr, dst netip.AddrPort, probes *config.TCPKeepAlive, bind func(network, address string, raw syscall.RawConn) error) (*net.TCPConn, error) {
	system := net.Dialer{KeepAlive: -1, KeepAliveConfig: keepAlive(probes), Control: bind}
	var local netip.AddrPort
	if source.IsValid() {
		local = netip.AddrPortFrom(source, 0)
	}
	return system.DialTCP(ctx, "tcp", local, dst)
}

// keepAlive leaves what isn't configured as the kernel has it.
func keepAlive(probes *config.TCPKeepAlive) net.KeepAliveConfig {
	if probes == nil {
		return net.KeepAliveConfig{}
	}
	return net.KeepAliveConfig{
		Enable: true, Idle: orKernel(probes.Time), Interval: orKernel(probes.Interval), Count: cmp.Or(int(probes.Probes), -1),
	}
}

func orKernel(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// bindWithoutPort lets the kernel choose the source port at connect, per 4-tuple. Without it every connection would take
// its port away from all other destinations, even in TIME_WAIT: 28 000 a minute and no more.
func bindWithoutPort(_, _ string, raw syscall.RawConn) error {
	var set error
	if err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}); err != nil {
		return err
	}
	if set != nil {
		return fmt.Errorf("setting IP_BIND_ADDRESS_NO_PORT: %w", set)
	}
	return nil
}

// asClient binds an address that isn't this host's. Capture's rules know the connection by its mark, and lead the answers
// back here.
func asClient(network, address string, raw syscall.RawConn) error {
	var set error
	if err := raw.Control(func(fd uintptr) { set = transparent(int(fd), network) }); err != nil {
		return err
	}
	if set != nil {
		return fmt.Errorf("dialling from the client's address wants NET_ADMIN: %w", set)
	}
	return bindWithoutPort(network, address, raw)
}

func transparent(fd int, network string) error {
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if network == "tcp6" {
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
