package tcp

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// spliceAfter is how many bytes of a direction are copied before the kernel moves the rest: short exchanges are
// cheaper copied, because splice needs two system calls and a pipe for what read and write do as well.
const spliceAfter = 64 << 10

// errReset is what a direction ends with when one of its two connections was reset; it tells which.
type errReset struct {
	conn *net.TCPConn
	err  error
}

func (e *errReset) Error() string { return "reset: " + e.err.Error() }
func (e *errReset) Unwrap() error { return e.err }

// flow moves bytes one way. It is used by one goroutine; only moved and passed are read by others.
type flow struct {
	src, dst       *net.TCPConn
	srcRaw, dstRaw syscall.RawConn
	moved          atomic.Uint64 // bytes taken from src
	passed         atomic.Uint64 // bytes given to dst
	spliced        *atomic.Uint64
	pipes          *pipePool

	// Results of the raw callbacks, which are made once so that parking allocates nothing.
	n   int
	err error
	buf *buffer
	fds pipe
}

func newFlow(src, dst *net.TCPConn, spliced *atomic.Uint64, pipes *pipePool) (*flow, error) {
	srcRaw, err := src.SyscallConn()
	if err != nil {
		return nil, err
	}
	dstRaw, err := dst.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &flow{src: src, dst: dst, srcRaw: srcRaw, dstRaw: dstRaw, spliced: spliced, pipes: pipes}, nil
}

// run moves bytes until src ends (nil) or one connection fails.
func (f *flow) run() error {
	for f.moved.Load() < spliceAfter {
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
	f.moved.Add(uint64(f.n))
	if _, err := f.dst.Write(f.buf[:f.n]); err != nil {
		return false, &errReset{f.dst, err}
	}
	f.passed.Add(uint64(f.n))
	return false, nil
}

func (f *flow) release() {
	if f.buf != nil {
		buffers.Put(f.buf)
		f.buf = nil
	}
}

// read parks without a buffer: it takes one only to try, and gives it back when there is nothing to read.
func (f *flow) read() error {
	if err := f.srcRaw.Read(f.tryRead); err != nil {
		return err
	}
	return f.err
}

func (f *flow) tryRead(fd uintptr) bool {
	f.buf = buffers.Get().(*buffer) //nolint:errcheck // the pool holds nothing else
	f.n, f.err = ignoreEINTR(func() (int, error) { return unix.Read(int(fd), f.buf[:]) })
	if f.err == nil {
		return true
	}
	f.release()
	return !errors.Is(f.err, unix.EAGAIN)
}

func ignoreEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// awaitReset parks on a connection that has already ended its side until it is reset or closed: without it a client
// that half-closes and then aborts would hold its upstream until somebody writes.
func (f *flow) awaitReset() error {
	f.err = nil
	if err := f.srcRaw.Read(f.tryReset); err != nil {
		return err
	}
	return &errReset{f.src, f.err}
}

func (f *flow) tryReset(fd uintptr) bool {
	code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	f.err = err
	return err != nil
}
