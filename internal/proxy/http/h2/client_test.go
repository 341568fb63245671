package h2

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// fakeServer lets a test play a client's server.
func fakeServer(t *testing.T, o Options, settings ...http2.Setting) (*Client, *rawPeer) {
	t.Helper()
	l := sockettest.Listen(t)
	defer l.Close()
	c := dial(t, l.Addr().String(), o)
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	p := &rawPeer{t: t, nc: nc, Framer: http2.NewFramer(nc, nc)}
	p.AllowIllegalWrites = true
	p.encoder = hpack.NewEncoder(&p.block)
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.ReadFull(nc, make([]byte, len(preface))); err != nil {
		t.Fatal(err)
	}
	_ = p.WriteSettings(settings...)
	p.expect("acknowledgement", func(f http2.Frame) bool {
		s, ok := f.(*http2.SettingsFrame)
		return ok && s.IsAck()
	})
	_ = p.WriteSettingsAck()
	return c, p
}

func get(t *testing.T, c *Client) (*ClientStream, *stream.Exchange) {
	t.Helper()
	x := &stream.Exchange{}
	s := c.Stream(x)
	if s == nil {
		t.Fatal("no stream")
	}
	x.Request = stream.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/"}
	if err := s.WriteHead(&x.Request, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, x
}

func TestLimitOfThePeer(t *testing.T) {
	c, p := fakeServer(t, Options{}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
	first, _ := get(t, c)
	get(t, c)
	if c.Stream(&stream.Exchange{}) != nil || !c.Usable() {
		t.Error("a third stream, or none ever")
	}
	p.request(1, true, ":status", "204")
	if _, err := first.ReadHead(&stream.Response{}); err != nil {
		t.Fatal(err)
	}
	first.Close()
	get(t, c)
}

// TestUnprocessed: what the server says it didn't look at fails as such, so that it may be sent again.
func TestUnprocessed(t *testing.T) {
	c, p := fakeServer(t, Options{})
	one, x := get(t, c)
	three, _ := get(t, c)
	five, _ := get(t, c)
	_ = p.WriteRSTStream(5, http2.ErrCodeRefusedStream)
	if _, err := five.ReadHead(&stream.Response{}); reasonOf(err) != codec.RefusedStream || five.Answered() {
		t.Errorf("REFUSED_STREAM: %v", err)
	}
	_ = p.WriteGoAway(1, http2.ErrCodeNo, nil)
	if _, err := three.ReadHead(&stream.Response{}); reasonOf(err) != codec.RefusedStream {
		t.Errorf("above GOAWAY: %v", err)
	}
	if c.Usable() || c.Stream(x) != nil {
		t.Error("new streams after GOAWAY")
	}
	p.request(1, true, ":status", "200")
	if end, err := one.ReadHead(&x.Response); err != nil || !end || !one.Answered() {
		t.Errorf("below GOAWAY: %v, %v", end, err)
	}
	for _, s := range []*ClientStream{one, three, five} {
		s.Close()
	}
	_ = p.nc.Close()
	<-c.Done() // by itself, now that nothing is open
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*rawPeer)
		reason codec.Reason
	}{
		"no status":             {func(p *rawPeer) { p.request(1, true, "x", "y") }, codec.Protocol},
		"status twice":          {func(p *rawPeer) { p.request(1, true, ":status", "200", ":status", "200") }, codec.Protocol},
		"status of four":        {func(p *rawPeer) { p.request(1, true, ":status", "0200") }, codec.Protocol},
		"101":                   {func(p *rawPeer) { p.request(1, false, ":status", "101") }, codec.Protocol},
		"1xx that ends":         {func(p *rawPeer) { p.request(1, true, ":status", "103") }, codec.Protocol},
		"request pseudo-header": {func(p *rawPeer) { p.request(1, true, ":status", "200", ":path", "/") }, codec.Protocol},
		"connection field":      {func(p *rawPeer) { p.request(1, true, ":status", "200", "connection", "x") }, codec.Protocol},
		"length without body":   {func(p *rawPeer) { p.request(1, true, ":status", "200", "content-length", "3") }, codec.Protocol},
		"reset":                 {func(p *rawPeer) { _ = p.WriteRSTStream(1, http2.ErrCodeInternal) }, codec.RemoteReset},
		"connection closed":     {func(p *rawPeer) { _ = p.nc.Close() }, codec.Termination},
		"DATA before the head":  {func(p *rawPeer) { _ = p.WriteData(1, true, []byte("x")) }, codec.Protocol},
		"PUSH_PROMISE": {func(p *rawPeer) {
			_ = p.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
		}, codec.Termination},
		"more than nine 1xx, unread": {func(p *rawPeer) {
			for range 9 {
				p.request(1, false, ":status", "103")
			}
		}, codec.Protocol},
	} {
		t.Run(name, func(t *testing.T) {
			client, p := fakeServer(t, Options{})
			s, x := get(t, client)
			c.answer(p)
			var err error
			for err == nil && x.Response.Status < 200 {
				if name == "more than nine 1xx, unread" {
					<-s.failed()
				}
				_, err = s.ReadHead(&x.Response)
			}
			if reasonOf(err) != c.reason || err == nil {
				t.Errorf("got %v, status %d", err, x.Response.Status)
			}
		})
	}
}

// failed is closed when the stream has an error.
func (s *ClientStream) failed() <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		for s.readErr == nil {
			s.wake.Wait()
		}
	}()
	return c
}

func TestInterimAndTrailers(t *testing.T) {
	c, p := fakeServer(t, Options{})
	s, x := get(t, c)
	p.request(1, false, ":status", "103", "link", "a")
	p.request(1, false, ":status", "200", "content-length", "3")
	_ = p.WriteDataPadded(1, false, []byte("abc"), make([]byte, 100))
	p.request(1, true, "grpc-status", "0")
	if end, err := s.ReadHead(&x.Response); err != nil || end || x.Response.Status != 103 || x.Response.Fields.Value("link") != "a" {
		t.Fatalf("%v, %v, %+v", end, err, x.Response)
	}
	if end, err := s.ReadHead(&x.Response); err != nil || end || x.Response.Status != 200 || x.Response.Length != 3 {
		t.Fatalf("%v, %v, %+v", end, err, x.Response)
	}
	var got []byte
	for end := false; !end; {
		piece, last, err := s.ReadBody()
		if err != nil {
			t.Fatal(err)
		}
		got, end = append(got, piece...), last
	}
	if !bytes.Equal(got, []byte("abc")) || x.ResponseTrailers.Value("grpc-status") != "0" {
		t.Errorf("%q, %+v", got, x.ResponseTrailers)
	}
}

// TestHead: the length of an answer to HEAD is one of a body that doesn't come.
func TestHead(t *testing.T) {
	c, p := fakeServer(t, Options{})
	x := &stream.Exchange{}
	s := c.Stream(x)
	defer s.Close()
	x.Request = stream.Request{Method: "HEAD", Scheme: "http", Authority: "a", Path: "/"}
	if err := s.WriteHead(&x.Request, true); err != nil {
		t.Fatal(err)
	}
	p.request(1, true, ":status", "200", "content-length", "5")
	if end, err := s.ReadHead(&x.Response); err != nil || !end || x.Response.Length != 5 {
		t.Errorf("%v, %v, %+v", end, err, x.Response)
	}
}

// TestWebSocketOverH2: an upgrade is extended CONNECT on the wire, and HTTP/1.1's 101 on both our sides.
func TestWebSocketOverH2(t *testing.T) {
	c := dial(t, serve(t, Options{AllowConnect: true}, func(s *ServerStream) {
		x := &stream.Exchange{}
		s.Head(x)
		if x.Request.Upgrade != "websocket" || x.Request.Method != http.MethodGet {
			t.Errorf("%+v", x.Request)
		}
		if s.WriteHead(&stream.Response{Status: 101, Length: -1}, false) == nil && s.Flush() == nil {
			_ = carry(s, s, &x.RequestTrailers)
		}
	}), Options{})
	x := &stream.Exchange{}
	s := c.Stream(x)
	defer s.Close()
	x.Request = stream.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/", Upgrade: "websocket"}
	if err := s.WriteHead(&x.Request, false); err != nil {
		t.Fatal(err)
	}
	_ = s.Flush()
	if end, err := s.ReadHead(&x.Response); err != nil || end || x.Response.Status != 101 {
		t.Fatalf("%v, %v, %+v", end, err, x.Response)
	}
	_ = s.WriteBody([]byte("ping"), false)
	_ = s.Flush()
	if p, _, err := s.ReadBody(); err != nil || string(p) != "ping" {
		t.Errorf("%q, %v", p, err)
	}
	_ = s.WriteBody(nil, true)
	if _, end, err := s.ReadBody(); err != nil || !end {
		t.Errorf("%v, %v", end, err)
	}
}

// TestNoWebSocketOverH2: a server that doesn't announce extended CONNECT isn't sent it.
func TestNoWebSocketOverH2(t *testing.T) {
	c := dial(t, serve(t, Options{}, hello), Options{})
	s := c.Stream(&stream.Exchange{})
	defer s.Close()
	err := s.WriteHead(&stream.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/", Upgrade: "websocket"}, true)
	if reasonOf(err) != codec.LocalReset || s.Written() {
		t.Errorf("%v", err)
	}
}

// TestEarlyAnswer: a server that has answered wants no more of the request; its answer counts.
func TestEarlyAnswer(t *testing.T) {
	c, p := fakeServer(t, Options{})
	x := &stream.Exchange{}
	s := c.Stream(x)
	defer s.Close()
	x.Request = stream.Request{Method: "POST", Scheme: "http", Authority: "a", Path: "/", HasBody: true, Length: -1}
	if err := s.WriteHead(&x.Request, false); err != nil {
		t.Fatal(err)
	}
	_ = s.Flush()
	p.request(1, true, ":status", "413")
	_ = p.WriteRSTStream(1, http2.ErrCodeNo)
	var err error
	for err == nil {
		err = s.WriteBody([]byte("x"), false)
	}
	if reasonOf(err) != codec.Termination {
		t.Errorf("writing: %v", err)
	}
	if end, err := s.ReadHead(&x.Response); err != nil || !end || x.Response.Status != 413 {
		t.Errorf("%v, %v, %+v", end, err, x.Response)
	}
}

// TestInterruptedAsItOpens: a timeout may come while the head is being written. The race detector is what looks.
func TestInterruptedAsItOpens(t *testing.T) {
	c, _ := fakeServer(t, Options{})
	x := &stream.Exchange{}
	s := c.Stream(x)
	defer s.Close()
	x.Request = stream.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/"}
	interrupted := make(chan struct{})
	go func() { defer close(interrupted); s.Interrupt() }()
	_ = s.WriteHead(&x.Request, true) // either may be first
	<-interrupted
	if _, err := s.ReadHead(&x.Response); reasonOf(err) != codec.Interrupted {
		t.Errorf("%v", err)
	}
}
