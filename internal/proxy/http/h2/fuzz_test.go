package h2

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// memory is a connection whose peer has said all it will say, and reads everything.
type memory struct {
	net.Conn
	in     io.Reader
	mu     sync.Mutex
	closed bool
	wrote  int
}

func (m *memory) Read(p []byte) (int, error) { return m.in.Read(p) }

func (m *memory) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, net.ErrClosed
	}
	m.wrote += len(p)
	return len(p), nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *memory) SetReadDeadline(time.Time) error  { return nil }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }

// someFrames are seeds: a request with a body and trailers, control frames, and what is wrong in some way.
func someFrames() [][]byte {
	head := []byte{0x82, 0x86, 0x84, 0x41, 1, 'a'}
	frame := func(kind frameType, flags uint8, id uint32, p ...byte) []byte {
		return append(appendFrame(nil, len(p), kind, flags, id), p...)
	}
	return [][]byte{
		frame(frameHeaders, flagEndHeaders|flagEndStream, 1, head...),
		bytes.Join([][]byte{frame(frameHeaders, flagEndHeaders, 1, head...), frame(frameData, 0, 1, 'x'),
			frame(frameHeaders, flagEndHeaders|flagEndStream, 1, 0x40, 1, 'a', 1, 'b')}, nil),
		bytes.Join([][]byte{frame(frameHeaders, flagEndStream, 1, head[:3]...), frame(frameContinuation, flagEndHeaders, 1, head[3:]...),
			frame(frameReset, 0, 1, 0, 0, 0, 8), frame(frameWindowUpdate, 0, 0, 0, 0, 1, 0), frame(framePing, 0, 0, make([]byte, 8)...)}, nil),
		bytes.Join([][]byte{frame(frameSettings, 0, 0, 0, 4, 0, 0, 0, 1), frame(frameHeaders, flagEndHeaders|flagPadded|flagPriority, 3,
			append([]byte{2, 0, 0, 0, 0, 5}, append(head, 0, 0)...)...), frame(frameData, flagPadded|flagEndStream, 3, 1, 'y', 0),
			frame(frameGoAway, 0, 0, make([]byte, 8)...), frame(framePriority, 0, 9, 0, 0, 0, 3, 1)}, nil),
		bytes.Join([][]byte{frame(frameHeaders, flagEndHeaders, 1, 0x88), frame(frameData, flagEndStream, 1, 'z'),
			frame(frameHeaders, flagEndHeaders|flagEndStream, 3, 0x89), frame(frameGoAway, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0)}, nil),
	}
}

// FuzzServer: whatever a client sends, the connection ends with it, its handlers return, and no window is lost.
func FuzzServer(f *testing.F) {
	for _, p := range someFrames() {
		f.Add(p)
	}
	start := appendSettings([]byte(preface))
	f.Fuzz(func(t *testing.T, p []byte) {
		nc := &memory{in: bytes.NewReader(append(start[:len(start):len(start)], p...))}
		s := NewServer(nc, Options{}, echo)
		_ = s.Serve()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.active != 0 || len(s.streams) != 0 || !nc.closed {
			t.Errorf("%d handlers, %d streams are left; closed: %v", s.active, len(s.streams), nc.closed)
		}
		if s.window+s.credit > int64(s.opts.ConnectionWindow) || s.window+s.credit < -maxFrameSize {
			t.Errorf("the window is %d with %d to be given", s.window, s.credit)
		}
	})
}

// FuzzClient: the same of servers.
func FuzzClient(f *testing.F) {
	for _, p := range someFrames() {
		f.Add(p)
	}
	start := appendSettings(nil)
	f.Fuzz(func(t *testing.T, p []byte) {
		hold, release := io.Pipe()
		c := NewClient(&memory{in: io.MultiReader(hold, bytes.NewReader(append(start[:len(start):len(start)], p...)))}, Options{})
		var all sync.WaitGroup
		for range 2 {
			x := &stream.Exchange{}
			s := c.Stream(x)
			x.Request = stream.Request{Method: "POST", Path: "/", Authority: "a", HasBody: true, Length: -1}
			_ = s.WriteHead(&x.Request, false)
			all.Go(func() { finishExchange(s, x) })
		}
		_ = release.Close()
		<-c.Done()
		all.Wait()
		if n := c.Streams(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}

func finishExchange(s *ClientStream, x *stream.Exchange) {
	defer s.Close()
	_ = s.WriteBody([]byte("body"), true)
	for x.Response.Status < 200 {
		end, err := s.ReadHead(&x.Response)
		if err != nil || end {
			return
		}
	}
	for end := false; !end; {
		var err error
		if _, end, err = s.ReadBody(); err != nil {
			return
		}
	}
}
