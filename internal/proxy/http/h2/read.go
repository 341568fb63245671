package h2

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/pillion-mesh/pillion/internal/proxy/http/h2/hpack"
)

// input is what only the reading goroutine uses.
type input struct {
	buf     []byte // what was read and not yet used: buf[at:]; nil while parked
	at      int
	first   [64]byte // a bare read without a buffer begins here, where the socket can't be asked whether it would wait
	err     error    // of a read that brought bytes too
	decoder *hpack.Decoder
	msg     *message // of the block that is being decoded
	block   []byte   // of HEADERS whose CONTINUATION is awaited
	begun   frameHeader
	frames  int // of the block
	settled bool

	attempt func(fd uintptr) bool // made once: read into buf without waiting
	n       int
}

func (in *input) init(o Options) {
	in.decoder = hpack.NewDecoder(o.HeaderTable)
	in.attempt = in.tryRead
	if len(o.Read) > 0 {
		in.buf = append(getBuffer(max(len(o.Read), readSize)), o.Read...)
	}
}

func (in *input) free() {
	putBuffer(in.buf)
	in.buf = nil
}

// readSize holds a whole frame and the beginning of the next.
const readSize = 32 << 10

// read carries out frames until the connection ends. Its error is an *Error, the network's, or errStopped.
func (c *conn) read() error {
	if err := c.expectPreface(); err != nil {
		return err
	}
	for {
		h, payload, err := c.nextFrame()
		if err != nil {
			return err
		}
		if err := c.frame(h, payload); err != nil {
			return err
		}
	}
}

func (c *conn) expectPreface() error {
	if c.client {
		return nil
	}
	got, err := c.need(len(preface))
	if err != nil {
		return err
	}
	if string(got) != preface {
		return broken(ProtocolError, "no preface")
	}
	return nil
}

// nextFrame returns a frame, whose payload is valid until the next call.
func (c *conn) nextFrame() (frameHeader, []byte, error) {
	p, err := c.need(headerLen)
	if err != nil {
		return frameHeader{}, nil, err
	}
	h := parseHeader(p)
	if h.length > maxFrameSize {
		return h, nil, broken(FrameSizeError, "frame over 16384 bytes")
	}
	c.in.at -= headerLen // so that a fill moves the header with it
	p, err = c.need(headerLen + h.length)
	return h, p[min(headerLen, len(p)):], err
}

// need returns the next n bytes. Before it waits, all that is queued is sent.
func (c *conn) need(n int) ([]byte, error) {
	in := &c.in
	for len(in.buf)-in.at < n {
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
	p := in.buf[in.at : in.at+n]
	in.at += n
	return p, nil
}

// fill reads once more. With nothing half read, no buffer is held while it waits.
func (c *conn) fill() error {
	in := &c.in
	if in.err != nil {
		return in.err
	}
	if in.at == len(in.buf) {
		putBuffer(in.buf)
		in.buf, in.at = nil, 0
	} else if in.at > 0 {
		in.buf = in.buf[:copy(in.buf, in.buf[in.at:])]
		in.at = 0
	}
	c.flushAside()
	c.parked(len(in.buf) > 0 || in.frames > 0)
	var err error
	if c.raw != nil {
		err = in.readRaw(c.raw)
	} else {
		err = in.readPlain(c.nc)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return c.stopReason()
	}
	return err
}

// readRaw reads a bare socket: a buffer is taken when bytes are there.
func (in *input) readRaw(raw syscall.RawConn) error {
	in.n = 0
	if err := raw.Read(in.attempt); err != nil {
		return err
	}
	if in.n == 0 && in.err == nil {
		in.err = io.EOF
	}
	if in.n == 0 {
		return in.err
	}
	return nil
}

// tryRead is the attempt of readRaw: it reports false if it would wait.
func (in *input) tryRead(fd uintptr) bool {
	idle := in.buf == nil
	in.room()
	n, err := ignoreInterrupts(int(fd), in.buf[len(in.buf):cap(in.buf)])
	switch {
	case n > 0:
		in.buf, in.n = in.buf[:len(in.buf)+n], n
	case errors.Is(err, syscall.EAGAIN):
		if idle {
			in.free()
		}
		return false
	case err != nil:
		in.err = os.NewSyscallError("read", err)
	}
	return true
}

func ignoreInterrupts(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// room makes buf hold a whole frame.
func (in *input) room() {
	if cap(in.buf) < readSize {
		in.buf = append(getBuffer(readSize), in.buf...)
	}
}

// readPlain reads anything else, TLS say, which can't be asked whether a read would wait: the first bytes come into a
// small place.
func (in *input) readPlain(r io.Reader) error {
	if in.buf == nil {
		n, err := r.Read(in.first[:])
		in.err = err
		if n > 0 {
			in.buf = append(getBuffer(readSize), in.first[:n]...)
			return nil
		}
		return err
	}
	in.room()
	n, err := r.Read(in.buf[len(in.buf):cap(in.buf)])
	in.buf, in.err = in.buf[:len(in.buf)+n], err
	if n > 0 {
		return nil
	}
	return err
}

// bareSocket returns what reads and writes nc's descriptor, or nil if nc is more than a socket.
func bareSocket(nc net.Conn) syscall.RawConn {
	s, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
