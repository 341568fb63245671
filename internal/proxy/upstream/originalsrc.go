package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

var errFamilies = errors.New("the client's address is of another family than the upstream's")

// dialFrom dials from the client's address, as the listener filter original_src says. Who configures it leads the answers
// back here, by the mark or otherwise.
func dialFrom(ctx context.Context, c *config.Cluster, dst netip.AddrPort, o origin) (*socket.Conn, error) {
	from := netip.AddrPortFrom(o.client.Addr().Unmap(), 0)
	if from.Addr().Is4() != dst.Addr().Unmap().Is4() {
		return nil, fmt.Errorf("dialling %s from %s (original_src): %w", dst, from.Addr(), errFamilies)
	}
	if o.source.Port {
		from = netip.AddrPortFrom(from.Addr(), o.client.Port())
	}
	return dial(ctx, c, from, dst, func(fd int, v4 bool) error { return inItsName(fd, v4, o.source) })
}

// inItsName lets a socket have an address that isn't this host's.
func inItsName(fd int, v4 bool, s *config.OriginalSource) error {
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if !v4 {
		level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	err := unix.SetsockoptInt(fd, level, option, 1)
	if err == nil && s.Mark != 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(s.Mark))
	}
	if err != nil {
		return fmt.Errorf("dialling from the client's address (original_src) wants NET_ADMIN: %w", err)
	}
	if s.Port {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) // the port is the client's to choose, again and again
	}
	return bindWithoutPort(fd, v4)
}
