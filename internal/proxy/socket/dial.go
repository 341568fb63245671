package socket

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Dialer is how connections are opened.
type Dialer struct {
	Source  netip.Addr         // invalid: the kernel chooses
	Port    uint16             // of Source; 0: the kernel chooses
	Timeout time.Duration      // 0: as long as ctx lasts
	Control func(fd int) error // called before anything is said; nil: nothing is
}

// Dial opens a connection. Its errors are ctx's, os.ErrDeadlineExceeded after Timeout, or a *net.OpError.
func (d *Dialer) Dial(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := d.dial(ctx, to)
	switch {
	case err == nil && conn.local == conn.remote:
		err = errors.Join(errSelf, conn.Close())
	case err == nil:
		return conn, nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return nil, err
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
}

// errSelf is of a port of this machine on which nobody listens, and which the kernel has just chosen for the connection to
// it: TCP lets a socket connect to itself.
var errSelf = os.NewSyscallError("connect", unix.ECONNREFUSED)

func (d *Dialer) dial(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	there, err := newSockaddr(to)
	if err != nil {
		return nil, err
	}
	fd, err := tcpSocket(there.family())
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := d.prepare(fd); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	begun := connect(fd, there)
	if errors.Is(begun, unix.EINPROGRESS) {
		begun = connect(fd, there) // to a peer on this machine it is done by now
	}
	if begun != nil && !errors.Is(begun, unix.EALREADY) {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("connect", begun)
	}
	_ = setNoDelay(fd)
	if begun == nil {
		return newConn(fd, nameOf(fd), unmapped(to))
	}
	conn, err := newConn(fd, netip.AddrPort{}, unmapped(to))
	if err != nil {
		return nil, err
	}
	if err := d.wait(ctx, conn, there); err != nil {
		_ = conn.Close()
		return nil, err
	}
	conn.local = conn.Local()
	return conn, nil
}

// prepare sets the options that have to be there before the connection is.
func (d *Dialer) prepare(fd int) error {
	if d.Control != nil {
		if err := d.Control(fd); err != nil {
			return err
		}
	}
	if !d.Source.IsValid() {
		return nil
	}
	from, err := newSockaddr(netip.AddrPortFrom(d.Source, d.Port))
	if err != nil {
		return err
	}
	return os.NewSyscallError("bind", bind(fd, from))
}

// wait waits for a connection under way: asking again says how it went.
func (d *Dialer) wait(ctx context.Context, conn *Conn, there *sockaddr) error {
	if d.Timeout > 0 {
		_ = conn.SetWriteDeadline(time.Now().Add(d.Timeout))
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	var failed error
	err := conn.raw.Write(func(fd uintptr) bool {
		failed = connect(int(fd), there)
		return !errors.Is(failed, unix.EALREADY)
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case failed != nil:
		return os.NewSyscallError("connect", failed)
	}
	if !stop() {
		return ctx.Err()
	}
	if d.Timeout > 0 {
		return conn.SetWriteDeadline(time.Time{})
	}
	return nil
}
