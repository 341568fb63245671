package tcp

import (
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

// spliceAfter is how many bytes of a direction are copied before the kernel moves the rest: short exchanges are
// cheaper copied, because splice needs two system calls and a pipe for what read and write do as well.
const spliceAfter = 64 << 10

// errReset is what a direction ends with when one of its two connections was reset or broke; it tells which.
type errReset struct {
	side *side
	err  error
}

func (e *errReset) Error() string { return "reset: " + e.err.Error() }
func (e *errReset) Unwrap() error { return e.err }

// flow moves bytes one way. It is used by one goroutine; only moved and passed are read by others.
type flow struct {
	src, dst *side
	moved    atomic.Uint64 // bytes taken from src
	passed   atomic.Uint64 // bytes given to dst
	spliced  *atomic.Uint64
	pipes    *socket.Pipes

	// Results of the raw callbacks, which are made once: a closure a call would be most of a short connection's garbage.
	tryRead, tryWrite func(fd uintptr) bool

	n    int
	err  error
	buf  *buffer
	fds  socket.Pipe
	left []byte // to be written
}

func newFlow(src, dst *side, spliced *atomic.Uint64, pipes *socket.Pipes) *flow {
	f := &flow{src: src, dst: dst, spliced: spliced, pipes: pipes}
	f.tryRead, f.tryWrite = f.readOnce, f.writeOnce
	return f
}

// run moves bytes until src ends (nil) or one connection fails.
func (f *flow) run() error {
	if f.src.greet != nil {
		if err := f.src.greet(); err != nil {
			return err
		}
	}
	if !f.src.plain {
		return f.runSecure()
	}
	splicing := f.dst.plain
	for !splicing || f.moved.Load() < spliceAfter {
		if done, err := f.copyOnce(); done || err != nil {
			return err
		}
	}
	for {
		done, err := f.spliceOnce()
		if done || err != nil {
			return err
		}
	}
}

// buffers are shared by all flows: one holds a buffer only between a read that got something and the write after it.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

type buffer [32 << 10]byte

func (f *flow) copyOnce() (done bool, err error) {
	if err := f.read(); err != nil {
		return false, &errReset{f.src, err}
	}
	defer f.release()
	if f.n == 0 {
		return true, nil
	}
	return false, f.write(f.buf[:f.n])
}

func (f *flow) write(b []byte) error {
	f.moved.Add(uint64(len(b)))
	if err := f.send(b); err != nil {
		return &errReset{f.dst, err}
	}
	f.passed.Add(uint64(len(b)))
	return nil
}

func (f *flow) send(b []byte) error {
	if !f.dst.plain {
		_, err := f.dst.conn.Write(b)
		return err
	}
	f.left, f.err = b, nil
	if err := f.dst.raw.Write(f.tryWrite); err != nil {
		return err
	}
	return f.err
}

// writeOnce writes what dst has room for, until nothing is left.
func (f *flow) writeOnce(fd uintptr) bool {
	for len(f.left) > 0 {
		n, err := socket.Write(fd, f.left)
		f.left = f.left[n:]
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		if f.err = err; err != nil {
			return true
		}
	}
	return true
}

func (f *flow) release() {
	if f.buf != nil {
		buffers.Put(f.buf)
		f.buf = nil
	}
}

// read parks without a buffer: it takes one only to try, and gives it back when there is nothing to read.
func (f *flow) read() error {
	if err := f.src.raw.Read(f.tryRead); err != nil {
		return err
	}
	return f.err
}

func (f *flow) readOnce(fd uintptr) bool {
	f.buf = buffers.Get().(*buffer) //nolint:errcheck // the pool holds nothing else
	f.n, f.err = socket.Read(fd, f.buf[:])
	if f.err == nil {
		return true
	}
	f.release()
	return !errors.Is(f.err, unix.EAGAIN)
}

// parkBytes is what a flow from TLS holds while it waits: TLS can't say that something has come without a place to put
// it. Once it fills that, the rest is read into a large buffer.
const parkBytes = 1 << 10

// runSecure moves bytes that come out of TLS.
func (f *flow) runSecure() error {
	var park [parkBytes]byte
	for {
		n, err := f.src.conn.Read(park[:])
		if n > 0 {
			if err := f.write(park[:n]); err != nil {
				return err
			}
		}
		if err == nil && n == parkBytes {
			err = f.copyMany()
		}
		if done, err := f.ended(err); done || err != nil {
			return err
		}
	}
}

// copyMany reads with a large buffer as long as that is worth it. Its errors are the source's, besides errReset.
func (f *flow) copyMany() error {
	b := buffers.Get().(*buffer) //nolint:errcheck // the pool holds nothing else
	defer buffers.Put(b)
	for {
		n, err := f.src.conn.Read(b[:])
		if n > 0 {
			if err := f.write(b[:n]); err != nil {
				return err
			}
		}
		if err != nil || n < parkBytes {
			return err
		}
	}
}

// ended says what an error of a read means.
func (f *flow) ended(err error) (done bool, _ error) {
	var reset *errReset
	switch {
	case err == nil:
		return false, nil
	case errors.As(err, &reset):
		return false, err
	case isEnd(err):
		return true, nil
	}
	return false, &errReset{f.src, err}
}

// awaitReset parks on a connection that has already ended its side until it is reset or closed: without it a client
// that half-closes and then aborts would hold its upstream until somebody writes.
func (f *flow) awaitReset() error {
	if f.src.raw == nil {
		return nil // a tunnel's writer finds out
	}
	f.err = nil
	if err := f.src.raw.Read(f.tryReset); err != nil {
		return err
	}
	return &errReset{f.src, f.err}
}

func (f *flow) tryReset(fd uintptr) bool {
	f.err = socket.Failed(fd)
	return f.err != nil
}
