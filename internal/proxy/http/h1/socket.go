package h1

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	sock "github.com/pillion-mesh/pillion/internal/proxy/socket"
)

// socket reads and writes one connection. On a bare TCP connection it makes the system calls itself: then a read that
// has to wait holds no buffer, and several buffers go out in one call. One goroutine may read while another writes.
type socket struct {
	conn net.Conn
	raw  syscall.RawConn // nil: conn isn't a bare socket

	// Of the reader. The callbacks are made once, so that parking allocates nothing.
	tryRead func(fd uintptr) bool
	want    int
	got     *buffer
	n       int
	rerr    error

	// Of the writer.
	tryWrite func(fd uintptr) bool
	vec      [4]unix.Iovec
	first    int // the first of vec that isn't written
	last     int
	werr     error
	sent     atomic.Uint64 // bytes given to the kernel, ever; whoever waits for the answer asks for it
	received uint64
}

func (s *socket) init(conn net.Conn) {
	s.conn = conn
	it, ok := conn.(syscall.Conn) // TLS isn't
	if !ok {
		return
	}
	if raw, err := it.SyscallConn(); err == nil {
		s.raw, s.tryRead, s.tryWrite = raw, s.readOnce, s.writeOnce
	}
}

// readParked waits without a buffer until there is something to read, and returns it in one of at least size bytes. At
// the end it is io.EOF.
func (s *socket) readParked(size int) (*buffer, int, error) {
	if s.raw == nil {
		b := borrow(size)
		n, err := s.conn.Read(b.b[:min(size, len(b.b))])
		if n == 0 {
			giveBack(b)
			return nil, 0, orEOF(err)
		}
		s.received += uint64(n) //nolint:gosec // not negative
		return b, n, nil
	}
	s.want = size
	if err := s.raw.Read(s.tryRead); err != nil {
		return nil, 0, err
	}
	got := s.got
	s.got = nil
	if s.rerr != nil || s.n == 0 {
		giveBack(got)
		return nil, 0, orEOF(s.rerr)
	}
	s.received += uint64(s.n) //nolint:gosec // not negative
	return got, s.n, nil
}

// orEOF is err, or the end of data if there is none.
func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

func (s *socket) readOnce(fd uintptr) bool {
	s.got = borrow(s.want)
	s.n, s.rerr = sock.Read(fd, s.got.b[:min(s.want, len(s.got.b))])
	if errors.Is(s.rerr, unix.EAGAIN) {
		giveBack(s.got)
		s.got = nil
		return false
	}
	return true
}

// readMore reads into p, waiting with it.
func (s *socket) readMore(p []byte) (int, error) {
	n, err := s.conn.Read(p)
	if n == 0 {
		return 0, orEOF(err)
	}
	s.received += uint64(n) //nolint:gosec // not negative
	return n, nil
}

// write sends pieces in their order, all of them unless it fails. No more than four.
func (s *socket) write(pieces ...[]byte) error {
	if s.raw == nil {
		return s.writeJoined(pieces)
	}
	s.first, s.last = 0, 0
	for _, p := range pieces {
		if len(p) > 0 {
			s.vec[s.last].Base = unsafe.SliceData(p)
			s.vec[s.last].SetLen(len(p))
			s.last++
		}
	}
	s.werr = nil
	err := s.raw.Write(s.tryWrite)
	clear(s.vec[:s.last])
	if err == nil {
		err = s.werr
	}
	return err
}

// writeOnce writes what the socket takes; it is called again when it takes more.
func (s *socket) writeOnce(fd uintptr) bool {
	for s.first < s.last {
		n, errno := s.call(fd)
		switch errno {
		case 0:
			s.advance(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			s.werr = errno
			return true
		}
	}
	return true
}

func (s *socket) call(fd uintptr) (uintptr, syscall.Errno) {
	v := &s.vec[s.first]
	if s.last-s.first == 1 {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(v.Base)), uintptr(v.Len))
		return n, errno
	}
	n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(v)), uintptr(s.last-s.first))
	return n, errno
}

func (s *socket) advance(n uintptr) {
	s.sent.Add(uint64(n))
	for left := uint64(n); left > 0; s.first++ {
		v := &s.vec[s.first]
		if left < v.Len {
			v.Base = (*byte)(unsafe.Add(unsafe.Pointer(v.Base), left))
			v.Len -= left
			return
		}
		left -= v.Len
	}
}

// writeJoined makes one write of them, for TLS one record.
func (s *socket) writeJoined(pieces [][]byte) error {
	total := 0
	for _, p := range pieces {
		total += len(p)
	}
	if total > smallSize {
		return s.writeEach(pieces)
	}
	b := borrow(total)
	defer giveBack(b)
	joined := b.b[:0]
	for _, p := range pieces {
		joined = append(joined, p...)
	}
	return s.writeEach([][]byte{joined})
}

func (s *socket) writeEach(pieces [][]byte) error {
	for _, p := range pieces {
		if len(p) == 0 {
			continue
		}
		n, err := s.conn.Write(p)
		s.sent.Add(uint64(n)) //nolint:gosec // not negative
		if err != nil {
			return err
		}
	}
	return nil
}

// closeWrite tells the peer that no more comes.
func (s *socket) closeWrite() error {
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// failure says what an error of the network means.
func failure(err error) *codec.Failure {
	var f *codec.Failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &codec.Failure{Reason: codec.Interrupted, Err: err}
	default:
		return &codec.Failure{Reason: codec.Termination, Err: err}
	}
}
