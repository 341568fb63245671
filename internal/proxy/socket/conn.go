// Package socket accepts and dials TCP connections with as few system calls as they need. Package net asks the kernel
// for both addresses of every connection, sets probes up that nobody wants, binds what needs no address and starts a
// goroutine to watch a dial; for a proxy of short connections that is as much work as carrying their bytes. A listening
// socket or an address goes in, a Conn comes out: it lives in the runtime's poller as net's connections do.
//
// Read this file, then transfer.go (reading and writing) and slots.go (closing); listen.go and dial.go over sys.go (the
// calls).
package socket

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a TCP connection. One goroutine may read while another writes; closing it ends both.
type Conn struct {
	file   *os.File
	raw    syscall.RawConn
	remote netip.AddrPort
	local  netip.AddrPort // invalid: the kernel is asked when somebody wants it
	closed atomic.Bool
	in     *transfer // nil: nothing was read yet but through SyscallConn
	out    *transfer // as in
}

// newConn makes a Conn of a descriptor that doesn't block, and owns it from then on.
func newConn(fd int, local, remote netip.AddrPort) (*Conn, error) {
	file := os.NewFile(uintptr(fd), "tcp") // not negative
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Conn{file: file, raw: raw, local: local, remote: remote}, nil
}

// Close implements net.Conn. Most connections are closed by several who shared them, all but the first for nothing.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	if c.vacate() != nil {
		return c.file.Close()
	}
	_ = c.file.SetDeadline(past) // ends those who wait
	slots.add(c.file)
	return nil
}

var past = time.Unix(1, 0)

// failure makes an error one of the network: TLS forgives those that say they are temporary, such as a deadline's.
func (c *Conn) failure(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case c.closed.Load():
		err = net.ErrClosed
	case !errors.Is(err, os.ErrDeadlineExceeded):
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: "tcp", Addr: c.RemoteAddr(), Err: err}
}

// SyscallConn returns what makes system calls on the socket. Its functions must not block.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return (*rawConn)(c), nil }

// rawConn is a Conn for system calls. Whoever closes it ends those of others, some with net.ErrClosed and some with
// unix.ENOTCONN.
type rawConn Conn

// Control implements syscall.RawConn.
func (r *rawConn) Control(f func(fd uintptr)) error {
	if r.closed.Load() {
		return net.ErrClosed
	}
	return r.raw.Control(f)
}

// Read implements syscall.RawConn.
func (r *rawConn) Read(f func(fd uintptr) (done bool)) error { return r.ended(r.raw.Read(f)) }

// Write implements syscall.RawConn.
func (r *rawConn) Write(f func(fd uintptr) (done bool)) error { return r.ended(r.raw.Write(f)) }

func (r *rawConn) ended(err error) error {
	if err != nil && r.closed.Load() {
		return net.ErrClosed
	}
	return err
}

// CloseWrite tells the peer that no more comes.
func (c *Conn) CloseWrite() error {
	return c.call("shutdown", func(fd int) error { return shutdown(fd, unix.SHUT_WR) })
}

// SetLinger is as of net.TCPConn: with 0 seconds closing resets the connection.
func (c *Conn) SetLinger(seconds int) error {
	linger := unix.Linger{Linger: int32(max(seconds, 0))} //nolint:gosec // seconds are few
	if seconds >= 0 {
		linger.Onoff = 1
	}
	return c.call("setsockopt", func(fd int) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger)
	})
}

func (c *Conn) call(name string, f func(fd int) error) error {
	var failed error
	if err := (*rawConn)(c).Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return c.failure(name, err)
	}
	return os.NewSyscallError(name, failed)
}

// Remote is the peer's address, IPv4 never mapped into IPv6.
func (c *Conn) Remote() netip.AddrPort { return c.remote }

// Local is this side's address, IPv4 never mapped into IPv6; it is invalid if a closed connection is asked first.
func (c *Conn) Local() (local netip.AddrPort) {
	if c.local.IsValid() {
		return c.local
	}
	_ = (*rawConn)(c).Control(func(fd uintptr) { local = nameOf(int(fd)) })
	return local
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.Local()) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.limit(t, c.file.SetReadDeadline) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.limit(t, c.file.SetWriteDeadline) }

// limit keeps the deadline of a closed connection, which is over.
func (c *Conn) limit(t time.Time, set func(time.Time) error) error {
	if c.closed.Load() {
		return c.failure("set", net.ErrClosed)
	}
	return set(t)
}
