package socket

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// transfer is one direction of a connection while Read or Write works. Its callback is made once: one a call would be
// garbage a call.
type transfer struct {
	try func(fd uintptr) (done bool)
	p   []byte
	n   int
	err error
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.in == nil {
		c.in = &transfer{}
		c.in.try = c.in.read
	}
	n, err := c.in.run(p, c.raw.Read)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, c.failure("read", err)
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	if c.out == nil {
		c.out = &transfer{}
		c.out.try = c.out.write
	}
	n, err := c.out.run(p, c.raw.Write)
	return n, c.failure("write", err)
}

// run moves p with try, each time the socket is ready.
func (t *transfer) run(p []byte, each func(func(fd uintptr) bool) error) (int, error) {
	t.p, t.n, t.err = p, 0, nil
	err := each(t.try)
	t.p = nil
	if err != nil {
		return t.n, err
	}
	return t.n, t.err
}

func (t *transfer) read(fd uintptr) (done bool) {
	t.n, t.err = Read(fd, t.p)
	return !errors.Is(t.err, unix.EAGAIN)
}

func (t *transfer) write(fd uintptr) (done bool) {
	for t.n < len(t.p) && t.err == nil {
		n, err := Write(fd, t.p[t.n:])
		t.n += n
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		t.err = err
	}
	return true
}
