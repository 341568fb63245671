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
)

// tick is how often deadlines are looked at; what happens to sockets wakes us at once.
const tick = 20 * time.Millisecond

// settling is how long a connection that somebody took may be on its way to one of our listeners.
const settling = 200 * time.Millisecond

// race runs all probes at once on one thread: sockets belong to the network namespace and the user of the thread that
// makes them, and goroutines would be moved to others.
type race struct {
	listeners  []listener
	taken      map[uint16]error // ports that can't be listened on
	unanswered error            // why queries over UDP can't be answered
	runners    []*runner
	arrivals   map[client]arrival
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
		r.resolver(p)
	}
	return r
}

// start makes a probe's socket and connects it.
func (r *race) start(c probe) {
	n := &runner{probe: c, fd: -1}
	r.runners = append(r.runners, n)
	if err := r.taken[c.trace.Port]; err != nil && n.skip == "" {
		n.skip = fmt.Sprintf("%v; if the proxy runs already, it is the one to prove this", err)
	}
	if n.packet.Proto == plan.UDP && r.unanswered != nil && n.skip == "" {
		n.skip = r.unanswered.Error()
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
