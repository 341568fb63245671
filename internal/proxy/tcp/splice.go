package tcp

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

const (
	spliceChunk = 1 << 20
	pipeBytes   = 256 << 10
	pipesKept   = 32
)

// pipe is the kernel buffer between two splices.
type pipe struct{ r, w int }

// pipePool keeps a few empty pipes. A flow holds one only while bytes are on their way, not while it is parked, so
// that idle connections cost no descriptors.
type pipePool struct{ free chan pipe }

func newPipePool() *pipePool { return &pipePool{make(chan pipe, pipesKept)} }

func (p *pipePool) get() (pipe, error) {
	select {
	case got := <-p.free:
		return got, nil
	default:
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return pipe{}, err
	}
	// A larger pipe saves calls. The kernel may refuse it to a user who has many; then it works as it is.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeBytes)
	return pipe{r: fds[0], w: fds[1]}, nil
}

func (p *pipePool) put(got pipe) {
	select {
	case p.free <- got:
	default:
		got.close()
	}
}

// close closes the pipes kept. Flows must have ended.
func (p *pipePool) close() {
	for {
		select {
		case got := <-p.free:
			got.close()
		default:
			return
		}
	}
}

func (p pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

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
	p, err := f.pipes.get()
	if err != nil {
		f.err = errNoPipe
		return true
	}
	f.n, f.err = socket.Splice(int(fd), p.w, spliceChunk)
	if f.err == nil && f.n > 0 {
		f.fds = p
		return true
	}
	f.pipes.put(p) // still empty
	return !errors.Is(f.err, unix.EAGAIN)
}

// drain empties the pipe into dst, waiting for dst as long as it takes: not reading on is the back-pressure.
func (f *flow) drain() error {
	for f.n > 0 {
		if err := f.dst.raw.Write(f.tryDrain); err != nil {
			f.fds.close()
			return &errReset{f.dst, err}
		}
		if f.err != nil {
			f.fds.close() // it may hold bytes of this connection
			return &errReset{f.dst, f.err}
		}
	}
	f.pipes.put(f.fds)
	return nil
}

func (f *flow) tryDrain(fd uintptr) bool {
	n, err := socket.Splice(f.fds.r, int(fd), f.n)
	if errors.Is(err, unix.EAGAIN) {
		return false
	}
	f.err = err
	f.n -= n
	f.passed.Add(uint64(n))
	return true
}
