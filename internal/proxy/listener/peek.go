package listener

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

// maxPeek is how much of a connection's beginning is looked at.
const maxPeek = 64 << 10

// Buffers to peek into. A connection that has sent nothing holds none.
var (
	smallPeeks = sync.Pool{New: func() any { return new([4 << 10]byte) }}
	largePeeks = sync.Pool{New: func() any { return new([maxPeek]byte) }}
)

// peek shows the first bytes of a connection to look, again and again as they grow, until look needs no more of them.
// They stay in the socket. look gets all bytes there are and whether they are the last; it returns how many it needs.
// An error is the connection's, or os.ErrDeadlineExceeded.
func peek(conn *socket.Conn, look func(b []byte, end bool) (need int)) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	p := peeker{look: look, need: 1}
	if err := raw.Read(p.try); err != nil {
		return err
	}
	return p.err
}

type peeker struct {
	look func([]byte, bool) int
	need int
	err  error
}

// try looks at what is there. It reports whether it's done; if not it is called again when the socket's state changes.
func (p *peeker) try(fd uintptr) (done bool) {
	for {
		enough := p.withBuffer(func(b []byte) bool { return p.once(fd, b) })
		switch {
		case p.err != nil, p.need == 0:
			return true
		case !enough:
			return false
		}
	}
}

func (p *peeker) withBuffer(use func([]byte) bool) bool {
	if p.need <= 4<<10 {
		b := smallPeeks.Get().(*[4 << 10]byte) //nolint:errcheck // the pool holds nothing else
		defer smallPeeks.Put(b)
		return use(b[:])
	}
	b := largePeeks.Get().(*[maxPeek]byte) //nolint:errcheck // the pool holds nothing else
	defer largePeeks.Put(b)
	return use(b[:])
}

// once shows look what is in the socket, if that is as much as it needs or the last. It reports whether it was.
func (p *peeker) once(fd uintptr, b []byte) (enough bool) {
	n, end, err := received(fd, b, p.need)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return false
	case err != nil:
		p.err = err
		return true
	case n < p.need && !end:
		return false
	}
	p.need = p.look(b[:n], end)
	if end || p.need > maxPeek {
		p.need = 0
	}
	return true
}

// received peeks. A socket that has bytes stays readable, so the end of data behind too few of them is asked for: the
// peer has ended its side and the bytes are still no more than before.
func received(fd uintptr, b []byte, need int) (n int, end bool, err error) {
	n, err = socket.Peek(fd, b)
	if err != nil || n == 0 {
		return 0, err == nil, err
	}
	if n >= need || !socket.Ended(fd) {
		return n, false, nil
	}
	again, err := socket.Peek(fd, b)
	return again, again == n, err
}
