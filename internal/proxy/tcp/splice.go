package tcp

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

const spliceChunk = 1 << 20

// spliceOnce moves what src has to dst without bringing it into this process. Without a pipe it copies.
func (f *flow) spliceOnce() (done bool, err error) {
	if err := f.src.raw.Read(f.tryFill); err != nil {
		return false, &errReset{f.src, err}
	}
	switch {
	case errors.Is(f.err, errNoPipe):
		return f.copyOnce()
	case f.err != nil:
		return false, &errReset{f.src, f.err}
	case f.n == 0:
		return true, nil
	}
	f.moved.Add(uint64(f.n))
	f.spliced.Add(uint64(f.n))
	return false, f.drain()
}

var errNoPipe = errors.New("no pipe for splice")

// tryFill fills an empty pipe from src, or parks without one.
func (f *flow) tryFill(fd uintptr) bool {
	p, err := f.pipes.Get()
	if err != nil {
		f.err = errNoPipe
		return true
	}
	f.n, f.err = socket.Splice(int(fd), p.W, spliceChunk)
	if f.err == nil && f.n > 0 {
		f.fds = p
		return true
	}
	f.pipes.Put(p) // still empty
	return !errors.Is(f.err, unix.EAGAIN)
}

// drain empties the pipe into dst, waiting for dst as long as it takes: not reading on is the back-pressure.
func (f *flow) drain() error {
	for f.n > 0 {
		if err := f.dst.raw.Write(f.tryDrain); err != nil {
			f.fds.Close()
			return &errReset{f.dst, err}
		}
		if f.err != nil {
			f.fds.Close() // it may hold bytes of this connection
			return &errReset{f.dst, f.err}
		}
	}
	f.pipes.Put(f.fds)
	return nil
}

func (f *flow) tryDrain(fd uintptr) bool {
	n, err := socket.Splice(f.fds.R, int(fd), f.n)
	if errors.Is(err, unix.EAGAIN) {
		return false
	}
	f.err = err
	f.n -= n
	f.passed.Add(uint64(n))
	return true
}
