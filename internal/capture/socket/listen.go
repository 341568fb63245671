package socket

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Listener hears what the kernel tells everybody, such as every change of the nftables rules. What it says isn't looked
// at: that something was said is the news.
type Listener struct {
	fd     int
	wake   [2]int // a pipe, readable once Wait is to end
	buffer []byte
}

// Listen joins a multicast group of a netlink protocol in the calling thread's network namespace.
func Listen(protocol, group int) (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	l := &Listener{fd: fd, buffer: make([]byte, receiveBuffer)}
	err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	if err == nil {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
	}
	if err == nil {
		err = os.NewSyscallError("pipe2", unix.Pipe2(l.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening to the kernel: %w", err), unix.Close(fd))
	}
	return l, nil
}

// Close leaves the group. Nobody may be in Wait.
func (l *Listener) Close() error {
	return errors.Join(unix.Close(l.fd), unix.Close(l.wake[0]), unix.Close(l.wake[1]))
}

// Wait sleeps until the kernel says something, patience ends, or ctx does. It tells whether something was said.
func (l *Listener) Wait(ctx context.Context, patience time.Duration) (bool, error) {
	stop := context.AfterFunc(ctx, func() { _, _ = unix.Write(l.wake[1], []byte{0}) })
	defer stop()
	deadline := time.Now().Add(patience)
	for ctx.Err() == nil {
		left := max(time.Until(deadline), 0)
		fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}, {Fd: int32(l.wake[0]), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int((left + time.Millisecond - 1).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, os.NewSyscallError("poll", err)
		case n == 0:
			return false, nil
		}
		return l.drain(), ctx.Err()
	}
	return false, ctx.Err()
}

// drain reads everything that was said. Too much to hold is news too.
func (l *Listener) drain() (news bool) {
	for {
		_, _, err := unix.Recvfrom(l.fd, l.buffer, unix.MSG_TRUNC)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return news
		}
		news = true
	}
}
