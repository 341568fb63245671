package h1

import (
	"errors"

	"golang.org/x/sys/unix"

	sock "github.com/pillion-mesh/pillion/internal/proxy/socket"
)

const moveChunk = 1 << 20

// Bare is a side of a tunnel that may be a socket whose bytes have no framing.
type Bare interface{ halves() (*input, *output) }

func (s *Server) halves() (*input, *output) { return &s.in, &s.out }
func (c *Client) halves() (*input, *output) { return &c.in, &c.out }
func (t *Tunnel) halves() (*input, *output) { return &t.in, &t.out }

// Mover moves what one side of a tunnel sends to the other inside the kernel. It is used by who else would read and write.
type Mover struct {
	in    *input
	out   *output
	pipes *sock.Pipes
	pipe  sock.Pipe
	n     int // in the pipe
	err   error

	tryFill, tryDrain func(fd uintptr) bool
}

// NewMover returns nil unless both sides are bare sockets, without framing, and from has nothing in its buffer. What waits
// for to is written first.
func NewMover(from, to any, pipes *sock.Pipes) *Mover {
	source, ok := from.(Bare)
	target, also := to.(Bare)
	if !ok || !also {
		return nil
	}
	in, _ := source.halves()
	_, out := target.halves()
	if in.raw == nil || in.kind != byClose || in.ended || len(in.rest) > 0 || out.raw == nil || out.chunk || out.length >= 0 || out.flush() != nil {
		return nil
	}
	m := &Mover{in: in, out: out, pipes: pipes}
	m.tryFill, m.tryDrain = m.fillOnce, m.drainOnce
	return m
}

// Fill waits for bytes and takes them, n of them. With end there are no more; without it and with n 0 there is no pipe to be
// had: they are to be copied. Drain must follow.
func (m *Mover) Fill() (n int, end bool, err error) {
	m.n, m.err = 0, nil
	if err := m.in.raw.Read(m.tryFill); err != nil {
		return 0, false, failure(err)
	}
	switch {
	case errors.Is(m.err, errNoPipe):
		return 0, false, nil
	case m.err != nil:
		return 0, false, failure(m.err)
	}
	m.in.ended = m.n == 0
	m.in.received += uint64(m.n) //nolint:gosec // not negative
	return m.n, m.in.ended, nil
}

var errNoPipe = errors.New("no pipe for splice")

// fillOnce fills an empty pipe, or waits without one.
func (m *Mover) fillOnce(fd uintptr) bool {
	p, err := m.pipes.Get()
	if err != nil {
		m.err = errNoPipe
		return true
	}
	m.n, m.err = sock.Splice(int(fd), p.W, moveChunk)
	if m.err == nil && m.n > 0 {
		m.pipe = p
		return true
	}
	m.pipes.Put(p) // still empty
	return !errors.Is(m.err, unix.EAGAIN)
}

// Drain gives on what was taken. Not taking more meanwhile is the back-pressure.
func (m *Mover) Drain() error {
	for m.n > 0 {
		err := m.out.raw.Write(m.tryDrain)
		if err == nil {
			err = m.err
		}
		if err != nil {
			m.Drop()
			m.out.failed = failure(err)
			return m.out.failed
		}
	}
	m.pipes.Put(m.pipe)
	return nil
}

// Drop forgets what was taken.
func (m *Mover) Drop() {
	m.n = 0
	m.pipe.Close() // it may hold bytes of this connection
}

func (m *Mover) drainOnce(fd uintptr) bool {
	n, err := sock.Splice(m.pipe.R, int(fd), m.n)
	if errors.Is(err, unix.EAGAIN) {
		return false
	}
	m.err = err
	m.n -= n
	m.out.sent.Add(uint64(n)) //nolint:gosec // not negative
	return true
}
