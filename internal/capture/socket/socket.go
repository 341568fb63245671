// Package socket is a netlink socket for short conversations with the kernel: requests in, answers out, each wait
// bounded. Capture lives for a few milliseconds, and mdlayher's own socket starts a goroutine for every read: between
// them and a thread locked to a network namespace that alone took longer than everything else. socket.go is the socket,
// ask.go a question and its answers, message.go their form.
package socket

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"
	"golang.org/x/sys/unix"
)

// patience bounds the wait for one answer; answers take microseconds.
const patience = 10 * time.Second

// sendBuffer holds the largest transaction: the kernel takes it in one piece or not at all.
const sendBuffer = 8 << 20

// receiveBuffer holds the largest message the kernel sends: dumps come in pieces of at most 32 KiB.
const receiveBuffer = 64 << 10

// Socket is bound to the network namespace of the thread that opened it. It is a netlink.Socket.
type Socket struct {
	fd     int
	buffer []byte
	asked  uint32 // requests by Ask
}

// Open makes a socket for a netlink protocol, such as unix.NETLINK_ROUTE.
func Open(protocol int) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &Socket{fd: fd, buffer: make([]byte, receiveBuffer)}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Socket) prepare() error {
	wait := unix.NsecToTimeval(patience.Nanoseconds())
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, option, &wait); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	// Without the right to force it the default remains, which is enough for all but huge plans.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer)
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, sendBuffer)
	_ = unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1) // errors needn't repeat the request
	return os.NewSyscallError("bind", unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// Close ends the conversation.
func (s *Socket) Close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// Send sends one request.
func (s *Socket) Send(m netlink.Message) error { return s.SendMessages([]netlink.Message{m}) }

// SendMessages sends requests in one piece, which is what makes a transaction.
func (s *Socket) SendMessages(messages []netlink.Message) error {
	var all []byte
	for _, m := range messages {
		b, err := m.MarshalBinary()
		if err != nil {
			return fmt.Errorf("encoding a netlink message: %w", err)
		}
		all = append(all, b...)
	}
	for {
		err := unix.Sendto(s.fd, all, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("sendto", err)
		}
	}
}

// Receive waits for answers: what the kernel sends in one piece.
func (s *Socket) Receive() ([]netlink.Message, error) {
	n, err := s.receive()
	if err != nil {
		return nil, err
	}
	return messages(bytes.Clone(s.buffer[:n]))
}

func (s *Socket) receive() (int, error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, s.buffer, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, fmt.Errorf("no answer from the kernel in %s: %w", patience, os.ErrDeadlineExceeded)
		case err != nil:
			return 0, os.NewSyscallError("recvfrom", err)
		case n > len(s.buffer):
			return 0, fmt.Errorf("an answer of %d bytes is more than expected: %w", n, unix.ENOBUFS)
		}
		return n, nil
	}
}

// Func is the socket as google/nftables takes one in place of its own: requests are sent, nil asks for answers.
func (s *Socket) Func() nltest.Func {
	return func(requests []netlink.Message) ([]netlink.Message, error) {
		if requests != nil {
			return nil, s.SendMessages(requests)
		}
		return s.Receive()
	}
}
