package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sendTime bounds a send: a peer that doesn't read is stuck, and waiting for it would make us stuck too.
const sendTime = time.Second

// Conn is one end of the conversation.
type Conn struct{ unix *net.UnixConn }

// Pair returns our end and the file for the other process.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making the control socket pair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "control")
	ours, err := Open(fds[0])
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// Open takes over the end of the conversation at descriptor fd.
func Open(fd int) (*Conn, error) {
	file := os.NewFile(uintptr(fd), "control")
	if file == nil {
		return nil, fmt.Errorf("descriptor %d is not valid", fd)
	}
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is not a control socket: %w", fd, err)
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("descriptor %d is a %T, not a control socket", fd, conn), conn.Close())
	}
	return &Conn{u}, nil
}

// Close ends the conversation.
func (c *Conn) Close() error { return c.unix.Close() }

// Send sends a message, with descriptors if it is SOCKETS. The caller keeps the descriptors.
func (c *Conn) Send(m Message, fds []int) error {
	if len(fds) != len(m.Sockets) {
		return fmt.Errorf("sending %s: %d descriptors for %d names", m.Type, len(fds), len(m.Sockets))
	}
	packet, err := Encode(m)
	if err != nil {
		return err
	}
	if err := c.unix.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return fmt.Errorf("sending %s: %w", m.Type, err)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := c.unix.WriteMsgUnix(packet, rights, nil); err != nil {
		return fmt.Errorf("sending %s: %w", m.Type, err)
	}
	return nil
}

// MessageError is what Receive returns for a packet that is no good message. The conversation can go on.
type MessageError struct{ Err error }

func (e *MessageError) Error() string { return e.Err.Error() }
func (e *MessageError) Unwrap() error { return e.Err }

// Receive waits for the next message. Descriptors that came with it are the caller's, closed on exec. At the end of
// the conversation it returns io.EOF.
func (c *Conn) Receive() (Message, []int, error) {
	packet := make([]byte, MaxBytes+1)
	rights := make([]byte, unix.CmsgSpace(4*MaxSockets))
	n, rn, flags, _, err := c.unix.ReadMsgUnix(packet, rights)
	if err != nil {
		return Message{}, nil, err
	}
	fds, err := parseRights(rights[:rn])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("a control message was cut off")
	}
	var m Message
	if err == nil {
		m, err = Decode(packet[:n])
	}
	if err == nil && len(fds) != len(m.Sockets) {
		err = fmt.Errorf("control message %q: %d descriptors for %d names", m.Type, len(fds), len(m.Sockets))
	}
	if err != nil {
		closeAll(fds)
		return Message{}, nil, &MessageError{err}
	}
	return m, fds, nil
}

func parseRights(raw []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(raw)
	if err != nil {
		return nil, fmt.Errorf("reading descriptors: %w", err)
	}
	for i := range messages {
		got, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			closeAll(fds)
			return nil, fmt.Errorf("reading descriptors: %w", err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
