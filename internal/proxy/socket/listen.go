package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listener is a listening TCP socket.
type Listener struct {
	file *os.File
	raw  syscall.RawConn
	addr net.Addr
}

// Listen takes a TCP listener of package net over: that one is closed, whatever happens.
func Listen(l net.Listener) (*Listener, error) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the socket %s is %T, not TCP", l.Addr(), l), l.Close())
	}
	file, err := tcp.File() // a duplicate: net's own lets nobody wait on it
	if err := errors.Join(err, tcp.Close()); err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	_ = raw.Control(func(fd uintptr) { _ = setNoDelay(int(fd)) }) // its connections inherit it
	return &Listener{file: file, raw: raw, addr: l.Addr()}, nil
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.AcceptConn()
	if err != nil {
		return nil, err // not a nil *Conn
	}
	return conn, nil
}

// AcceptConn waits for a connection. Errors are net.ErrClosed, os.ErrDeadlineExceeded after Interrupt, or what the kernel
// says.
func (l *Listener) AcceptConn() (*Conn, error) {
	var fd int
	var remote netip.AddrPort
	var failed error
	err := l.raw.Read(func(listening uintptr) bool {
		fd, remote, failed = accept(int(listening))
		return !errors.Is(failed, unix.EAGAIN)
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, err
	case err != nil:
		return nil, net.ErrClosed // the only other reason
	case failed != nil:
		return nil, os.NewSyscallError("accept4", failed)
	}
	return newConn(fd, netip.AddrPort{}, remote)
}

// InterruptWith has AcceptConn fail from ctx's end on. The function returned undoes that, as context.AfterFunc's does.
func (l *Listener) InterruptWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = l.file.SetReadDeadline(time.Unix(1, 0)) })
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.addr }

// Close implements net.Listener. Others that hold the same socket go on listening.
func (l *Listener) Close() error { return l.file.Close() }
