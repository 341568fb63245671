package socket

import "golang.org/x/sys/unix"

const (
	pipeBytes = 256 << 10
	pipesKept = 32
)

// Pipe is the kernel buffer between two splices: its descriptors.
type Pipe struct{ R, W int }

// Pipes keeps a few empty pipes. Who splices holds one only while bytes are on their way, not while it waits for some, so
// that idle connections cost no descriptors.
type Pipes struct{ free chan Pipe }

// NewPipes returns Pipes with none.
func NewPipes() *Pipes { return &Pipes{make(chan Pipe, pipesKept)} }

// Get returns an empty pipe.
func (p *Pipes) Get() (Pipe, error) {
	select {
	case got := <-p.free:
		return got, nil
	default:
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return Pipe{}, err
	}
	// A larger pipe saves calls. The kernel may refuse it to a user who has many; then it works as it is.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeBytes)
	return Pipe{R: fds[0], W: fds[1]}, nil
}

// Put takes an empty pipe back.
func (p *Pipes) Put(got Pipe) {
	select {
	case p.free <- got:
	default:
		got.Close()
	}
}

// Close closes the pipes kept. Nobody may splice any more.
func (p *Pipes) Close() {
	for {
		select {
		case got := <-p.free:
			got.Close()
		default:
			return
		}
	}
}

// Close closes a pipe that may not be empty.
func (p Pipe) Close() {
	_ = unix.Close(p.R)
	_ = unix.Close(p.W)
}
