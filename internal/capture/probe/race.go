package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/socket"
)

// tick is how often deadlines are looked at; what happens to sockets wakes us at once.
const tick = 20 * time.Millisecond

// settling is how long a connection that somebody took may be on its way to one of our listeners.
const settling = 200 * time.Millisecond

// race runs all probes at once on one thread: sockets belong to the network namespace and the user of the thread that
// makes them, and goroutines would be moved to others.
type race struct {
	listeners []listener
	taken     map[uint16]error // ports that can't be listened on
	runners   []*runner
	arrivals  map[client]arrival
}

type listener struct {
	fd   int
	port uint16
	udp  bool
	v4   bool
}

// client tells connections apart: nobody rewrites where they come from.
type client struct {
	udp     bool
	address netip.AddrPort
}

// arrival is a connection one of our listeners got.
type arrival struct {
	port     uint16
	original netip.AddrPort // zero: conntrack knows of no other
}

// runner is one probe under way.
type runner struct {
	probe
	fd        int
	local     netip.AddrPort
	connected time.Time
	answered  bool // UDP: the answer came from the address asked
	done      bool
	result    Result
}

func newRace(p *plan.Plan, o Options) *race {
	r := &race{taken: map[uint16]error{}, arrivals: map[client]arrival{}}
	for _, port := range []uint16{o.Port, p.In.Port, p.Out.Port} {
		r.listen(p.Families, port, unix.SOCK_STREAM)
	}
	if p.DNS.On() {
		r.listen(p.Families, p.DNS.Port, unix.SOCK_STREAM)
		r.listen(p.Families, p.DNS.Port, unix.SOCK_DGRAM)
	}
	return r
}

func (r *race) listen(families plan.Families, port uint16, kind int) {
	for _, v4 := range []bool{true, false} {
		if v4 && !families.V4 || !v4 && !families.V6 || r.has(port, kind, v4) {
			continue
		}
		fd, err := open(v4, port, kind)
		if err != nil {
			r.taken[port] = err
			continue
		}
		r.listeners = append(r.listeners, listener{fd: fd, port: port, udp: kind == unix.SOCK_DGRAM, v4: v4})
	}
}

func (r *race) has(port uint16, kind int, v4 bool) bool {
	for _, l := range r.listeners {
		if l.port == port && l.udp == (kind == unix.SOCK_DGRAM) && l.v4 == v4 {
			return true
		}
	}
	return false
}

func open(v4 bool, port uint16, kind int) (fd int, err error) {
	any := netip.IPv6Unspecified()
	if v4 {
		any = netip.IPv4Unspecified()
	}
	if fd, err = unix.Socket(familyOf(any), kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if !v4 {
		err = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(any, port)))
	}
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, 64)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("listening on port %d: %w", port, err), unix.Close(fd))
	}
	return fd, nil
}

// start makes a probe's socket and connects it.
func (r *race) start(c probe) {
	n := &runner{probe: c, fd: -1}
	r.runners = append(r.runners, n)
	if err := r.taken[c.trace.Port]; err != nil && n.skip == "" {
		n.skip = fmt.Sprintf("%v; if the proxy runs already, it is the one to prove this", err)
	}
	if n.skip != "" {
		n.end(NotProbed, n.skip)
		return
	}
	if err := as(*c.packet.Owner, n.connect); err != nil {
		n.end(Failed, err.Error())
	}
}

func (n *runner) connect() (err error) {
	kind := unix.SOCK_STREAM
	if n.packet.Proto == plan.UDP {
		kind = unix.SOCK_DGRAM
	}
	if n.fd, err = unix.Socket(familyOf(n.packet.Dst.Addr()), kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return os.NewSyscallError("socket", err)
	}
	if n.packet.Src.IsValid() {
		if err := unix.Bind(n.fd, sockaddr(n.packet.Src)); err != nil {
			return fmt.Errorf("binding %s: %w", n.packet.Src.Addr(), err)
		}
	}
	if err := unix.Connect(n.fd, sockaddr(n.packet.Dst)); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		return fmt.Errorf("connecting to %s: %w", n.packet.Dst, err)
	}
	name, err := unix.Getsockname(n.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	n.local = addrPort(name)
	if n.packet.Proto == plan.UDP {
		_, err = unix.Write(n.fd, []byte("pillion"))
	}
	return os.NewSyscallError("write", err)
}

func (n *runner) end(o Outcome, detail string) {
	n.done, n.result = true, Result{Probe: n.name, Outcome: o, Detail: detail}
}

// run waits for all probes, or until the deadline.
func (r *race) run(deadline time.Time) {
	for r.pending() {
		fds := r.interests()
		_, _ = unix.Poll(fds, int(tick.Milliseconds())) // EINTR: the next round will tell
		for _, l := range r.listeners {
			r.accept(l)
		}
		for _, n := range r.runners {
			n.look(r.arrivals)
			if !n.done && time.Now().After(deadline) {
				n.end(Failed, n.what()+": no answer; it wasn't led to "+fmt.Sprint(n.trace.Port))
			}
		}
	}
}

func (r *race) pending() bool {
	for _, n := range r.runners {
		if !n.done {
			return true
		}
	}
	return false
}

// interests are the sockets to wait for. A connected one is always writable, so it isn't waited for again.
func (r *race) interests() (fds []unix.PollFd) {
	for _, l := range r.listeners {
		fds = append(fds, unix.PollFd{Fd: int32(l.fd), Events: unix.POLLIN})
	}
	for _, n := range r.runners {
		switch {
		case n.done:
		case n.packet.Proto == plan.UDP:
			fds = append(fds, unix.PollFd{Fd: int32(n.fd), Events: unix.POLLIN})
		case n.connected.IsZero():
			fds = append(fds, unix.PollFd{Fd: int32(n.fd), Events: unix.POLLOUT})
		}
	}
	return fds
}

// accept takes everything a listener has.
func (r *race) accept(l listener) {
	for l.udp {
		buffer := make([]byte, 64)
		n, from, err := unix.Recvfrom(l.fd, buffer, 0)
		if err != nil {
			return
		}
		r.arrivals[client{true, addrPort(from)}] = arrival{port: l.port}
		_ = unix.Sendto(l.fd, buffer[:n], 0, from)
	}
	for {
		fd, from, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		original, _ := socket.OriginalDst(fd, l.v4) // conntrack may know nothing of what was left alone
		r.arrivals[client{false, addrPort(from)}] = arrival{port: l.port, original: original}
		_ = unix.Close(fd)
	}
}

// look decides about a probe as soon as it can.
func (n *runner) look(arrivals map[client]arrival) {
	if n.done {
		return
	}
	if err := n.progress(); err != nil {
		n.end(Failed, fmt.Sprintf("%s: %v", n.what(), err))
		return
	}
	at, arrived := arrivals[client{n.packet.Proto == plan.UDP, n.local}]
	switch {
	case arrived && at.port != n.trace.Port:
		n.end(Failed, fmt.Sprintf("%s: arrived at port %d, must at %d", n.what(), at.port, n.trace.Port))
	case arrived && n.trace.Verdict != plan.VerdictLeft && n.packet.Proto == plan.TCP && at.original != n.trace.OrigDst:
		n.end(Failed, fmt.Sprintf("%s: its original destination is %s there, must be %s", n.what(), at.original, n.trace.OrigDst))
	case arrived && (n.packet.Proto == plan.TCP || n.answered):
		n.end(Passed, "")
	case !arrived && !n.connected.IsZero() && time.Since(n.connected) > settling:
		n.end(Failed, fmt.Sprintf("%s: somebody else took it; it must be led to port %d", n.what(), n.trace.Port))
	}
}

// progress notes whether the connection stands, or the answer came.
func (n *runner) progress() error {
	if n.packet.Proto == plan.UDP {
		count, err := unix.Read(n.fd, make([]byte, 64)) // a connected socket takes answers from the address asked only
		n.answered = n.answered || err == nil && count > 0
		if errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		return nil
	}
	if !n.connected.IsZero() {
		return nil
	}
	code, err := unix.GetsockoptInt(n.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = syscall.Errno(code)
	}
	if err != nil {
		return err
	}
	if _, err := unix.Getpeername(n.fd); err == nil {
		n.connected = time.Now()
	}
	return nil
}

func (n *runner) what() string {
	return fmt.Sprintf("user %d group %d to %s", n.packet.Owner.UID, n.packet.Owner.GID, n.packet.Dst)
}

func (r *race) results() (all []Result) {
	for _, n := range r.runners {
		all = append(all, n.result)
	}
	return all
}

func (r *race) close() {
	for _, l := range r.listeners {
		_ = unix.Close(l.fd)
	}
	for _, n := range r.runners {
		if n.fd >= 0 {
			_ = unix.Close(n.fd)
		}
	}
}
