package h2

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// TestMain fails if any goroutine outlives the tests.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code) // fuzzing has goroutines of its own
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && code == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			code = 1
		}
	}
	os.Exit(code)
}

// pair is a server on loopback with its one connection, whose client a test plays.
func pair(t *testing.T, o Options, h Handler) (*rawPeer, *Server, chan error) {
	l := sockettest.Listen(t)
	defer l.Close()
	accepted := make(chan *Server, 1)
	ended := make(chan error, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		s := NewServer(nc, o, h)
		accepted <- s
		ended <- s.Serve()
	}()
	p := newRaw(t, l.Addr().String())
	s := <-accepted
	t.Cleanup(s.Close)
	return p, s, ended
}

func isGoAway(last uint32) func(http2.Frame) bool {
	return func(f http2.Frame) bool {
		g, ok := f.(*http2.GoAwayFrame)
		return ok && g.LastStreamID == last && g.ErrCode == http2.ErrCodeNo
	}
}

// TestDrain: both steps of GOAWAY, a request between them is answered, one behind them isn't looked at.
func TestDrain(t *testing.T) {
	release := make(chan struct{})
	p, s, ended := pair(t, Options{}, func(s *ServerStream) {
		if s.ID() == 1 {
			<-release
		}
		hello(s)
	})
	p.request(1, true, getFields...)
	s.Drain()
	p.expect("first GOAWAY", isGoAway(maxWindow))
	ping := p.expect("PING", func(f http2.Frame) bool { return f.Header().Type == http2.FramePing }).(*http2.PingFrame)
	p.request(3, true, getFields...)
	p.expectStatus(3, "200")
	_ = p.WritePing(true, ping.Data)
	p.expect("second GOAWAY", isGoAway(3))
	p.request(5, true, getFields...)
	close(release)
	p.expectStatus(1, "200")
	if f, err := p.ReadFrame(); err != nil || f.Header().Type != http2.FrameData {
		t.Errorf("got %v, %v", f, err)
	}
	if f, err := p.ReadFrame(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, %v", f, err)
	}
	_ = p.nc.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestDrainWithoutAnswer: a client that doesn't answer PING gets the second GOAWAY all the same.
func TestDrainWithoutAnswer(t *testing.T) {
	p, s, _ := pair(t, Options{DrainTimeout: time.Millisecond}, hello)
	s.Drain()
	p.expect("second GOAWAY", isGoAway(0))
}

func TestShutdownEndsWhatHangs(t *testing.T) {
	p, s, ended := pair(t, Options{}, waitGone)
	p.request(1, true, getFields...)
	p.expectPong()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(ctx)
	if err := <-ended; err == nil {
		t.Error("cutting a stream off isn't nil")
	}
}

// expectPong makes sure that all that was sent before has been seen.
func (p *rawPeer) expectPong() {
	p.t.Helper()
	_ = p.WritePing(false, [8]byte{'p'})
	p.expect("PING", func(f http2.Frame) bool { return f.Header().Type == http2.FramePing && f.Header().Flags == 1 })
}

func TestTimers(t *testing.T) {
	const soon = 20 * time.Millisecond
	for name, c := range map[string]struct {
		o  Options
		do func(*rawPeer)
	}{
		"idle":                {Options{IdleTimeout: soon, DrainTimeout: soon}, func(*rawPeer) {}},
		"idle after a stream": {Options{IdleTimeout: soon, DrainTimeout: soon}, func(p *rawPeer) { p.request(1, true, getFields...) }},
		"PING unanswered":     {Options{KeepAliveInterval: soon, KeepAliveTimeout: soon}, func(*rawPeer) {}},
		"half a frame":        {Options{HeadTimeout: soon}, func(p *rawPeer) { _, _ = p.nc.Write([]byte{0, 0}) }},
		"half a head": {Options{HeadTimeout: soon}, func(p *rawPeer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.encode(getFields...)})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, _ := pair(t, c.o, hello)
			c.do(p)
			p.expect("GOAWAY", func(f http2.Frame) bool { return f.Header().Type == http2.FrameGoAway })
			for err := error(nil); !errors.Is(err, io.EOF); _, err = p.ReadFrame() {
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestKeepAliveOfBothSides: sides that answer each other's PINGs stay.
func TestKeepAliveOfBothSides(t *testing.T) {
	o := Options{KeepAliveInterval: time.Millisecond, KeepAliveTimeout: 30 * time.Second}
	c := dial(t, serve(t, o, echo), o)
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		exchange(t, c, []byte("x"))
	}
}

// TestGone: a reset, and the end of the connection, reach who works on the stream, and nobody who is done.
func TestGone(t *testing.T) {
	gone := make(chan uint32, 10)
	var done sync.WaitGroup
	done.Add(3)
	p, _, _ := pair(t, Options{}, func(s *ServerStream) {
		defer done.Done()
		s.Head(&stream.Exchange{})
		waits := make(chan struct{})
		s.OnGone(func() { gone <- s.ID(); close(waits) })
		if s.ID() == 5 {
			_ = s.WriteHead(&stream.Response{Status: 204}, true)
			return
		}
		<-waits
		if _, _, err := s.ReadBody(); s.ID() == 1 && reasonOf(err) != codec.RemoteCancel || s.ID() == 3 && reasonOf(err) != codec.Termination {
			t.Errorf("stream %d: %v", s.ID(), err)
		}
	})
	for id := uint32(1); id <= 5; id += 2 {
		p.request(id, false, getFields...)
	}
	p.expectStatus(5, "204")
	_ = p.WriteRSTStream(1, http2.ErrCodeCancel)
	if id := <-gone; id != 1 {
		t.Errorf("stream %d is gone", id)
	}
	_ = p.nc.Close()
	if id := <-gone; id != 3 {
		t.Errorf("stream %d is gone", id)
	}
	done.Wait()
}

// TestInterrupt: reads and writes that wait end.
func TestInterrupt(t *testing.T) {
	c := dial(t, serve(t, Options{StreamWindow: 10}, waitGone), Options{})
	for name, wait := range map[string]func(*ClientStream) error{
		"head": func(s *ClientStream) error { _, err := s.ReadHead(&stream.Response{}); return err },
		"body": func(s *ClientStream) error { _, _, err := s.ReadBody(); return err },
		"write": func(s *ClientStream) error {
			return s.WriteBody(make([]byte, 1000), true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := &stream.Exchange{}
			s := c.Stream(x)
			defer s.Close()
			x.Request = stream.Request{Method: "POST", Path: "/", Authority: "a", HasBody: true, Length: -1}
			if err := s.WriteHead(&x.Request, false); err != nil {
				t.Fatal(err)
			}
			got := make(chan error, 1)
			go func() { got <- wait(s) }()
			s.Interrupt()
			if err := <-got; reasonOf(err) != codec.Interrupted {
				t.Error(err)
			}
		})
	}
}

// TestPlainConn: what the socket can't be asked goes on without.
func TestPlainConn(t *testing.T) {
	l := sockettest.Listen(t)
	defer l.Close()
	ended := make(chan error, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			ended <- err
			return
		}
		ended <- NewServer(struct{ net.Conn }{nc}, Options{}, echo).Serve()
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(struct{ net.Conn }{nc}, Options{})
	for _, size := range []int{0, 1, 3 << 20} {
		body := bytes.Repeat([]byte("x"), size)
		if _, got, _ := exchange(t, c, body); !bytes.Equal(got, body) {
			t.Errorf("%d bytes came back as %d", size, len(got))
		}
	}
	c.Close()
	// The last handler may not have returned yet, and the server's last frames may never be read: then the client is taken
	// to have broken off.
	if broke := (*Error)(nil); errors.As(<-ended, &broke) {
		t.Error(broke)
	}
}

// TestDrainedAtOnce: a connection that is drained before it is served says its SETTINGS first all the same.
func TestDrainedAtOnce(t *testing.T) {
	l := sockettest.Listen(t)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(nc, Options{}, echo)
	s.Drain()
	ended := make(chan error)
	go func() { ended <- s.Serve() }()
	_ = client.SetDeadline(time.Now().Add(20 * time.Second))
	frame, err := http2.NewFramer(client, client).ReadFrame()
	if err != nil || frame.Header().Type != http2.FrameSettings {
		t.Errorf("%v, %v", frame, err)
	}
	client.Close()
	<-ended
}
