package agent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Sockets are all listening sockets of the sidecar. They are opened here, under the proxy's UID, and stay open for
// the agent's life: connections wait in the accept queue while no child runs.
type Sockets struct {
	Names []string // of the proxy's
	FDs   []int

	Status, Ready []net.Listener // the agent's own
	Unix          net.Listener
}

// Backlog of the proxy's sockets; the kernel lowers it to net.core.somaxconn.
const backlog = 1 << 15

// OpenSockets opens them all, or none.
func OpenSockets(s Settings) (*Sockets, error) {
	open := &Sockets{}
	if err := open.all(s); err != nil {
		open.Close()
		return nil, err
	}
	return open, nil
}

func (o *Sockets) all(s Settings) error {
	if err := makeRunDir(s.RunDir); err != nil {
		return err
	}
	for _, socket := range []struct {
		name string
		port uint16
	}{{"15001", s.OutboundPort}, {"15006", s.InboundPort}, {"15090", s.StatsPort}} {
		if socket.name == "15006" && s.InboundPort == s.OutboundPort {
			continue // one socket takes both ways
		}
		first := len(o.FDs)
		err := o.forProxy(socket.name, socket.port)
		if err == nil && socket.port == s.InboundPort && s.Transparent {
			err = transparent(o.FDs[first:])
		}
		if err != nil {
			return err
		}
	}
	if s.AdminPort != 0 {
		if err := o.forProxyAt("15000", s.AdminPort, loopback); err != nil {
			return err
		}
	}
	fd, err := listenUnix(s.ProxySocket())
	if err != nil {
		return err
	}
	o.Names, o.FDs = append(o.Names, "proxy.sock"), append(o.FDs, fd)
	return o.forAgent(s)
}

func (o *Sockets) forAgent(s Settings) (err error) {
	if s.StatusPort != 0 {
		if o.Status, err = listenersAt(s.StatusPort); err != nil {
			return err
		}
	}
	// With a dns child the loopback addresses of this port will be its own; until then one wildcard serves all.
	if o.Ready, err = listenersAt(s.ReadyPort); err != nil {
		return err
	}
	fd, err := listenUnix(s.AgentSocket())
	if err != nil {
		return err
	}
	o.Unix, err = listenerOf(fd)
	return err
}

// forProxy opens a port for the proxy. In the control protocol a socket is called after the port Istio knows its job
// by, whatever port it really has, and its family.
func (o *Sockets) forProxy(name string, port uint16) error { return o.forProxyAt(name, port, wildcard) }

func (o *Sockets) forProxyAt(name string, port uint16, addresses []netip.Addr) error {
	families, fds, err := eachFamily(port, addresses)
	for i, fd := range fds {
		o.Names = append(o.Names, name+"/"+families[i])
		o.FDs = append(o.FDs, fd)
	}
	return err
}

// transparent lets sockets take connections to any address. The option is the same for both families' sockets.
func transparent(fds []int) error {
	for _, fd := range fds {
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1); err != nil {
			return fmt.Errorf("interception mode TPROXY wants the capability NET_ADMIN, which only root keeps in a container: %w", err)
		}
	}
	return nil
}

// Close closes them all.
func (o *Sockets) Close() {
	for _, fd := range o.FDs {
		_ = unix.Close(fd)
	}
	for _, l := range append(append([]net.Listener{}, o.Status...), o.Ready...) {
		_ = l.Close()
	}
	if o.Unix != nil {
		_ = o.Unix.Close()
	}
}

func makeRunDir(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.Chmod(dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("the directory for the sidecar's sockets can't be made (mount a volume writable for UID %d at %s): %w",
			os.Getuid(), strings.TrimSuffix(dir, "/run"), err)
	}
	return nil
}

// Addresses of sockets, one a family: all of them, and this machine's own, which nobody else reaches.
var (
	wildcard = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	loopback = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
)

// eachFamily opens a port on addresses, one socket a family, so that each sees plain addresses of its own family. A
// machine without IPv6 has one socket; one without both is an error.
func eachFamily(port uint16, addresses []netip.Addr) (families []string, fds []int, err error) {
	for _, addr := range addresses {
		fd, err := listenTCP(netip.AddrPortFrom(addr, port))
		if addr.Is6() && isNoFamily(err) {
			continue
		}
		if err != nil {
			return families, fds, err
		}
		families, fds = append(families, familyOf(addr)), append(fds, fd)
	}
	return families, fds, nil
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6"
}

func isNoFamily(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)
}

func listenersAt(port uint16) (listeners []net.Listener, err error) {
	_, fds, err := eachFamily(port, wildcard)
	for _, fd := range fds {
		l, e := listenerOf(fd)
		if e == nil {
			listeners = append(listeners, l)
		}
		err = errors.Join(err, e)
	}
	return listeners, err
}

// listenerOf takes fd over.
func listenerOf(fd int) (net.Listener, error) {
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("serving a socket: %w", err)
	}
	return l, nil
}

func listenTCP(at netip.AddrPort) (int, error) {
	var family int
	var sa unix.Sockaddr
	if at.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	} else {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening a socket for %v: %w", at, err)
	}
	if err := bindAndListen(fd, family, sa); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("listening on %v: %w", at, err)
	}
	return fd, nil
}

func bindAndListen(fd, family int, sa unix.Sockaddr) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return err
	}
	return unix.Listen(fd, backlog)
}

// listenUnix replaces a socket an earlier container left on the volume.
func listenUnix(path string) (int, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return -1, fmt.Errorf("removing the old socket: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening a socket for %s: %w", path, err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, backlog)); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("listening on %s: %w", path, err)
	}
	return fd, nil
}
