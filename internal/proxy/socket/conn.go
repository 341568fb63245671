// Package socket accepts and dials TCP connections with as few system calls as they need. Package net asks the kernel
// for both addresses of every connection, sets probes up that nobody wants, binds what needs no address and starts a
// goroutine to watch a dial; for a proxy of short connections that is as much work as carrying their bytes. A listening
// socket or an address goes in, a Conn comes out: it lives in the runtime's poller as net's connections do.
//
// Read this file, then listen.go and dial.go over sys.go (the calls).
package socket

import (
	"errors"
	"io/fs"
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

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.file.Read(p)
	return n, c.failure("read", err)
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.file.Write(p)
	return n, c.failure("write", err)
}

// Close implements net.Conn. Most connections are closed by several who shared them, all but the first for nothing.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	return c.failure("close", c.file.Close())
}

// failure makes a file's error one of the network: TLS forgives those that say they are temporary, such as a deadline's.
func (c *Conn) failure(op string, err error) error {
	var path *fs.PathError
	if !errors.As(err, &path) {
		return err
	}
	cause := path.Err
	switch {
	case errors.Is(cause, fs.ErrClosed):
		cause = net.ErrClosed
	case !errors.Is(cause, os.ErrDeadlineExceeded):
		cause = os.NewSyscallError(op, cause)
	}
	return &net.OpError{Op: op, Net: "tcp", Addr: c.RemoteAddr(), Err: cause}
}

// SyscallConn returns what makes system calls on the socket. Its functions must not block.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

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
	if err := c.raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
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
	_ = c.raw.Control(func(fd uintptr) { local = nameOf(int(fd)) })
	return local
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.Local()) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.file.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.file.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.file.SetWriteDeadline(t) }
